/** All that a build says of one of its results. */
import { randomUUID } from 'node:crypto'
import type { Snapshots } from '../../engine/types.ts'
import type { Clock } from '../../lib/clock.ts'
import { type Descriptor, formatPlatform, hostPlatform } from '../../spec/oci/index.ts'
import type { Sys } from '../../sys/sys.ts'
import type { Bases } from '../bases.ts'
import type { Product } from '../output/product.ts'
import type { StepEnvironment } from '../solver/graph.ts'
import type { Solve } from '../solver/solve.ts'
import type { BuildRequest } from '../types.ts'
import { attestationsOf } from './options.ts'
import { type Material, provenance } from './provenance.ts'
import { scanned } from './sbom.ts'
import type { Attestation } from './statement.ts'

/** `layers`: of the product's image, as they go out. */
export type Attest = (product: Product, layers: readonly Descriptor[]) => Promise<Attestation[]>

interface Parts {
  deps: { clock: Clock; sys: Sys; snapshots: Snapshots }
  request: BuildRequest
  startedAt: number
  dockerfile: { file: string; text: string }
  materials: () => readonly Material[]
  bases: Bases
  solve: Solve
  environment: StepEnvironment
}

/** undefined: nothing was asked for. */
export const attesting = (parts: Parts): Attest | undefined => {
  const { request, deps, solve, bases } = parts
  const wanted = attestationsOf(request.attest ?? {}, request.args)
  if (!wanted.provenance && !wanted.sbom) return undefined
  const id = randomUUID().replaceAll('-', '')
  return async (product, layers) => {
    const found: Attestation[] = []
    if (wanted.sbom) {
      const scanner = await bases.get(wanted.sbom.generator, hostPlatform())
      found.push(
        ...(await scanned(solve, deps, {
          ...{ options: wanted.sbom, scanner, name: 'sbom', root: product.stage.rootfs },
          ...{ platform: formatPlatform(hostPlatform()), environment: parts.environment },
        })),
      )
    }
    if (wanted.provenance) {
      const { startedAt, dockerfile } = parts
      // The scanner is no part of the result.
      const used = await bases.used(product.platform)
      const facts = { id, startedAt, dockerfile, materials: parts.materials(), bases: used }
      found.push(provenance(facts, request, product, wanted.provenance, layers, deps.clock.now()))
    }
    return found
  }
}
