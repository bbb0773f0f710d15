/** Where specifications of devices are looked for: docs/docker.md. */
import { readFileSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import { badSettings, findSettings, parseSettingsFile } from '../../lib/settings-file.ts'

const page = 'docs/docker.md'
const key = 'cdi-spec-dirs'
const usual = ['/etc/cdi', '/var/run/cdi']

export const parseDirectories = (text: string, file: string): string[] => {
  const { [key]: given = usual, ...others } = parseSettingsFile(text, file, page)
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) throw badSettings(file, page, `"${unknown}" is not known; there is ${key}`)
  if (!Array.isArray(given) || !given.every((each) => typeof each === 'string' && (each === '' || isAbsolute(each))))
    throw badSettings(file, page, `"${key}" must be a list of absolute paths`)
  return (given as string[]).filter((each) => each !== '')
}

/** Read each time: devices are seldom asked for. A later directory's devices win over an earlier one's of the same name. */
export const specDirectories = (stateDir: string): string[] => {
  const found = findSettings(stateDir, 'devices.json')
  return found ? parseDirectories(readFileSync(found.file, 'utf8'), found.file) : usual
}
