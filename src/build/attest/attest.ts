/** All that a build says of one of its results. */
import type { Snapshots } from '../../engine/types.ts'
import type { Clock } from '../../lib/clock.ts'
import { type Descriptor, formatPlatform, hostPlatform } from '../../spec/oci/index.ts'
import type { Sys } from '../../sys/sys.ts'
import type { Bases } from '../bases.ts'
import type { Product } from '../output/product.ts'
import type { StepEnvironment } from '../solver/graph.ts'
import type { Solve } from '../solver/solve.ts'
import type { BuildRequest } from '../types.ts'
import { attestationsOf, type ProvenanceOptions } from './options.ts'
import { type Base, type Material, provenance } from './provenance.ts'
import { scanned } from './sbom.ts'
import type { Attestation } from './statement.ts'

/** `layers`: of the product's image, as they go out. */
export type Attest = (product: Product, layers: readonly Descriptor[]) => Promise<Attestation[]>

export interface AttestParts {
  deps: { clock: Clock; sys: Sys; snapshots: Snapshots }
  request: BuildRequest
  /** Of the build. */
  id: string
  startedAt: number
  dockerfile: { file: string; text: string }
  materials: () => readonly Material[]
  /** Images that came in as contexts, by id: what they are known by. */
  layouts: ReadonlyMap<string, string>
  bases: Bases
  solve: Solve
  environment: StepEnvironment
}

/** undefined: nothing was asked for. */
export const attesting = (parts: AttestParts): Attest | undefined => {
  const { request, deps, solve, bases } = parts
  const wanted = attestationsOf(request.attest ?? {}, request.args)
  if (!wanted.provenance && !wanted.sbom) return undefined
  return async (product, layers) => {
    const found: Attestation[] = []
    if (wanted.sbom) {
      const scanner = await bases.get(wanted.sbom.generator, hostPlatform())
      const files = product.result.snapshots.flatMap((snapshot, i) => {
        const [path, layer] = [deps.snapshots.pathOf(snapshot), layers[i]]
        return path !== undefined && layer ? [{ path, digest: layer.digest }] : []
      })
      found.push(
        ...(await scanned(solve, deps, {
          ...{ options: wanted.sbom, scanner, root: product.stage.rootfs, extras: product.stage.extras },
          ...{ layers: files, target: formatPlatform(product.platform) },
          ...{ platform: formatPlatform(hostPlatform()), environment: parts.environment },
        })),
      )
    }
    if (wanted.provenance) found.push(await told(parts, product, wanted.provenance, layers))
    return found
  }
}

/** What is remembered of a build in any case. */
export const recordedProvenance = (parts: AttestParts, product: Product): Promise<Attestation> => {
  const { request } = parts
  const { provenance: wanted } = attestationsOf(request.attest ?? {}, request.args)
  const least = { mode: 'min', version: 'v0.2', builderId: '', reproducible: false } as const
  return told(parts, product, wanted ?? least, [])
}

const told = async (
  { id, startedAt, dockerfile, materials, bases, layouts, request, deps }: AttestParts,
  product: Product,
  options: ProvenanceOptions,
  layers: readonly Descriptor[],
): Promise<Attestation> => {
  const used = (await bases.used(product.platform)).map((base): Base => {
    const layout = layouts.get(base.image.id)
    return layout === undefined ? base : { ...base, reference: layout, isLayout: true }
  })
  const facts = { id, startedAt, dockerfile, materials: materials(), bases: used }
  return provenance(facts, request, product, options, layers, deps.clock.now())
}
