import { isError, messageOf } from '../../../errors.ts'
import { parsePlatform, parseReference, type Reference } from '../../../spec/oci/index.ts'
import { Exit } from '../framework/failure.ts'

/** A name that cannot be one is docker's error, not ours. */
export const referenceOf = (text: string): Reference => {
  try {
    return parseReference(text)
  } catch (error) {
    if (isError(error)) throw new Exit(1, error.message)
    throw error
  }
}

/** The tag of a name that is given to something. */
export const newTag = ({ tag, digest }: Reference): string => {
  if (digest !== undefined) throw new Exit(1, 'refusing to create a tag with a digest reference')
  return tag ?? 'latest'
}

/** --platform as the API takes it. `prefix`: what docker says before the reason, in most commands. */
export const platformJson = (given: unknown, prefix = 'invalid platform: '): string | undefined => {
  if (given === undefined) return undefined
  try {
    return JSON.stringify(parsePlatform(given as string))
  } catch (error) {
    throw new Exit(1, `${prefix}${messageOf(error)}`)
  }
}
