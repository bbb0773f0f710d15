import * as kinds from '../../../spec/kube/kinds.ts'
import type { ResourceInfo } from '../../types.ts'
import type { ControllerOptions } from '../options.ts'
import type { AnyKind } from '../run/writes.ts'

const builtIn: readonly AnyKind[] = Object.values(kinds).filter((value): value is AnyKind => typeof value === 'object')

/** All kinds that objects may be of. */
export const resourcesOf = ({ resources }: Pick<ControllerOptions, 'resources'>): readonly AnyKind[] =>
  resources?.() ?? builtIn

/** The kinds of which objects are kept, each in its storage version: what `ControllerOptions.resources` wants. */
export const storedKinds = (resources: readonly ResourceInfo[]): AnyKind[] =>
  resources
    .filter(
      ({ kind, verbs, storageVersion }) =>
        kind.version === storageVersion && verbs.includes('watch') && verbs.includes('delete'),
    )
    .map(({ kind }) => kind as unknown as AnyKind)
