/** What the machine's owner may set of networks: docs/docker.md. */
import { readFileSync } from 'node:fs'
import type { SlipwayError } from '../../errors.ts'
import { type Block, parseBlock } from '../../lib/ip.ts'
import { badSettings, findSettings, isObject, parseSettingsFile } from '../../lib/settings-file.ts'

/** Subnets of length `size` are taken out of `base`. */
export interface AddressPool {
  base: Block
  size: number
}

const page = 'docs/docker.md'
const key = 'default-address-pools'

export const parsePools = (text: string, file: string): AddressPool[] => {
  const invalid = (what: string): SlipwayError => badSettings(file, page, what)
  const { [key]: pools = [], ...others } = parseSettingsFile(text, file, page)
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) throw invalid(`"${unknown}" is not known; there is ${key}`)
  if (!Array.isArray(pools)) throw invalid(`"${key}" must be a list`)
  return pools.map((pool) => {
    const base = isObject(pool) && typeof pool.base === 'string' ? parseBlock(pool.base) : undefined
    const size = isObject(pool) ? pool.size : undefined
    if (!base || typeof size !== 'number' || !Number.isInteger(size))
      throw invalid(`each of "${key}" must be like {"base": "10.99.0.0/16", "size": 24}`)
    if (size < base.prefix || size > (base.family === 4 ? 30 : 126))
      throw invalid(`no subnet of length ${size} is in ${isObject(pool) ? String(pool.base) : ''}`)
    return { base, size }
  })
}

/** Read each time: networks are seldom made. Empty: nothing is set. */
export const addressPools = (stateDir: string): AddressPool[] => {
  const found = findSettings(stateDir, 'networks.json')
  return found ? parsePools(readFileSync(found.file, 'utf8'), found.file) : []
}
