import { isError } from '../../../errors.ts'
import { parseReference, type Reference } from '../../../spec/oci/index.ts'
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
