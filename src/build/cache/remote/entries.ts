/** What --cache-from and --cache-to may say. */
import { SlipwayError } from '../../../errors.ts'
import type { BuildRequest, CacheEntry } from '../../types.ts'

export const checkCaches = ({ cacheFrom = [], cacheTo = [] }: Pick<BuildRequest, 'cacheFrom' | 'cacheTo'>): void => {
  for (const entry of cacheFrom) check('importer', entry)
  for (const entry of cacheTo) check('exporter', entry)
}

const check = (what: 'importer' | 'exporter', { type, attrs, store }: CacheEntry): void => {
  if (type === 'inline' && what === 'exporter') return
  if (type !== 'registry' && type !== 'local')
    throw new SlipwayError('unsupported', `unknown cache ${what}: "${type}"`, {
      hint: `This builder's caches travel by type=registry, type=local${what === 'exporter' ? ' and type=inline' : ''}.`,
    })
  if (type === 'registry' && !attrs.ref)
    throw new SlipwayError('bad-request', `ref is required for a registry cache ${what}`)
  if (type === 'local' && !store) throw new SlipwayError('bad-request', `no directory for the local cache ${what}`)
}
