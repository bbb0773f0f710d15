import * as kinds from '../../../spec/kube/kinds.ts'
import type { ControllerOptions } from '../options.ts'
import type { AnyKind } from '../run/writes.ts'

const builtIn: readonly AnyKind[] = Object.values(kinds).filter((value): value is AnyKind => typeof value === 'object')

/** All kinds that objects may be of. */
export const resourcesOf = ({ resources }: Pick<ControllerOptions, 'resources'>): readonly AnyKind[] =>
  resources?.() ?? builtIn
