import { SlipwayError } from '../../errors.ts'
import type { Containers } from '../types.ts'
import type { Context } from './context.ts'
import { snapshotKey } from './create.ts'

export const changes =
  (ctx: Context): Containers['changes'] =>
  async (reference) =>
    ctx.snapshots.changes(snapshotKey(ctx.records.must(reference).id))
export const exportRootfs =
  (_: Context): Containers['exportRootfs'] =>
  async () => {
    throw new SlipwayError('unsupported', 'export is not there yet')
  }
export const commit =
  (_: Context): Containers['commit'] =>
  async () => {
    throw new SlipwayError('unsupported', 'commit is not there yet')
  }
