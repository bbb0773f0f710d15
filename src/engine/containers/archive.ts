import { SlipwayError } from '../../errors.ts'
import type { Containers } from '../types.ts'
import type { Context } from './context.ts'

const missing = async (): Promise<never> => {
  throw new SlipwayError('unsupported', 'archives are not there yet')
}
export const archives = (_: Context): Pick<Containers, 'statPath' | 'readArchive' | 'writeArchive'> => ({
  statPath: missing,
  readArchive: missing,
  writeArchive: missing,
})
