import { readFileSync } from 'node:fs'
import type { SlipwayError } from '../../errors.ts'
import { badSettings, findSettings, isObject, parseSettingsFile } from '../../lib/settings-file.ts'
import { machineCertificates, type RegistrySettings } from '../distribution/index.ts'
import type { BootstrapSettings } from './bootstrap.ts'

/** What the machine's owner may set: docs/registries.md. */
export interface ImageSettings {
  registries?: RegistrySettings | undefined
  bootstrap?: BootstrapSettings | undefined
}

const page = 'docs/registries.md'

/**
 * The settings of an instance: stateDir/registries.json, else the machine's. A file that has changed is read again when it
 * is next needed; one that cannot be understood is an 'invalid' error then, never silently left out.
 */
export const imageSettings = (stateDir: string): (() => ImageSettings) => {
  const certificates = [`${stateDir}/certs.d`, ...machineCertificates]
  let known: { stamp: string; settings: ImageSettings } | undefined
  return () => {
    const found = findSettings(stateDir, 'registries.json')
    const stamp = found?.stamp ?? ''
    if (known?.stamp !== stamp) {
      const { registries, bootstrap } = found ? parseSettings(readFileSync(found.file, 'utf8'), found.file) : {}
      known = { stamp, settings: { registries: { certificates, ...registries }, bootstrap } }
    }
    return known.settings
  }
}

const isText = (value: unknown): value is string => typeof value === 'string'
const isTexts = (value: unknown): value is string[] => Array.isArray(value) && value.every(isText)
/** What each key must be, and the words for it. */
const shapes: Record<string, [(value: unknown) => boolean, string]> = {
  mirrors: [(value) => isObject(value) && Object.values(value).every(isTexts), 'an object of lists of addresses'],
  insecure: [isTexts, 'a list of hosts or address blocks'],
  certificates: [isTexts, 'a list of directories'],
  bootstrap: [isObject, 'an object'],
}

export const parseSettings = (text: string, file: string): ImageSettings => {
  const invalid = (what: string): SlipwayError => badSettings(file, page, what)
  const document = parseSettingsFile(text, file, page)
  for (const [key, value] of Object.entries(document)) {
    const shape = Object.hasOwn(shapes, key) ? shapes[key] : undefined
    if (!shape) throw invalid(`"${key}" is not known; there are ${Object.keys(shapes).join(', ')}`)
    if (!shape[0](value)) throw invalid(`"${key}" must be ${shape[1]}`)
  }
  const { bootstrap, ...registries } = document as RegistrySettings & { bootstrap?: BootstrapSettings }
  const { enabled, cache, ...others } = (bootstrap ?? {}) as Record<string, unknown>
  if (enabled !== undefined && typeof enabled !== 'boolean') throw invalid('"bootstrap.enabled" must be true or false')
  if (cache !== undefined && !isText(cache)) throw invalid('"bootstrap.cache" must be a directory, or "off"')
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) throw invalid(`"bootstrap.${unknown}" is not known; there are enabled, cache`)
  return { registries, bootstrap }
}
