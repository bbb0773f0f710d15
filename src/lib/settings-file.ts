/** Files a machine's owner may write: NAME in an instance's state directory, else in /etc/slipway. */
import { statSync } from 'node:fs'
import { SlipwayError } from '../errors.ts'

/** The file that counts, and a text that is another one when it has changed; undefined where there is none. */
export const findSettings = (stateDir: string, name: string): { file: string; stamp: string } | undefined => {
  for (const file of [`${stateDir}/${name}`, `/etc/slipway/${name}`]) {
    const stat = statSync(file, { throwIfNoEntry: false, bigint: true })
    if (stat) return { file, stamp: `${file} ${stat.ino} ${stat.size} ${stat.mtimeNs}` }
  }
  return undefined
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** An error in a settings file; `page` describes it. */
export const badSettings = (file: string, page: string, what: string): SlipwayError =>
  new SlipwayError('invalid', `${file}: ${what}`, { hint: `${page} describes the file.`, at: { file } })

/** The object a settings file holds. Throws 'invalid' for anything else. */
export const parseSettingsFile = (text: string, file: string, page: string): Record<string, unknown> => {
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch (cause) {
    throw badSettings(file, page, `not JSON: ${(cause as Error).message}`)
  }
  if (!isObject(document)) throw badSettings(file, page, 'must be an object')
  return document
}
