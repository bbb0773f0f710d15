/**
 * What is in a result, by a scanner in an image: BuildKit's protocol for scanners (docs/attestations/sbom-protocol.md). It finds
 * the root file system in BUILDKIT_SCAN_SOURCE, others that the Dockerfile names in directories of BUILDKIT_SCAN_SOURCE_EXTRAS, and leaves in-toto statements without subjects in BUILDKIT_SCAN_DESTINATION.
 */
import { randomUUID } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Image, Snapshots } from '../../engine/types.ts'
import { SlipwayError } from '../../errors.ts'
import type { Sys } from '../../sys/sys.ts'
import { fullName } from '../bases.ts'
import type { MkdirOp, RunMount, RunOp } from '../ops.ts'
import { topOf } from '../solver/deps.ts'
import type { OpNode, Rootfs, StepEnvironment } from '../solver/graph.ts'
import type { Extra } from '../solver/scans.ts'
import type { Solve } from '../solver/solve.ts'
import { type FilesOf, withLayers } from './layers.ts'
import type { SbomOptions } from './options.ts'
import type { Attestation } from './statement.ts'

const core = '/run/src/core/sbom'
const extrasDirectory = '/run/src/extras'
const destination = '/run/out/'
const largestBytes = 64 << 20

interface Scan {
  options: SbomOptions
  scanner: Image
  root: Rootfs
  extras: readonly Extra[]
  /** Of the result's image. */
  layers: readonly FilesOf[]
  /** What is scanned is of this one. */
  target: string
  /** The scanner's. */
  platform: string
  environment: StepEnvironment
}

export const scanned = async (
  solve: Solve,
  { snapshots, sys: { files } }: { snapshots: Pick<Snapshots, 'pathOf'>; sys: Pick<Sys, 'files'> },
  scan: Scan,
): Promise<Attestation[]> => {
  const top = topOf(await solve.result(scannerStep(scan)))
  const layer = top === undefined ? undefined : snapshots.pathOf(top)
  if (layer === undefined) return []
  // Nothing of the scanner's may lead elsewhere.
  const directory = join(layer, files.resolveInRoot(layer, destination))
  const names = lstatSync(directory, { throwIfNoEntry: false })?.isDirectory() ? readdirSync(directory).sort() : []
  const isCore = (name: string): boolean => name.split('.')[0] === 'sbom'
  return names
    .filter((name) => name.endsWith('.json'))
    .sort((a, b) => Number(isCore(b)) - Number(isCore(a)))
    .map((name) => {
      const found = read(directory, name, scan.options)
      return isCore(name) ? withLayers(found, scan.layers) : found
    })
}

const read = (directory: string, name: string, { generator }: SbomOptions): Attestation => {
  const file = join(directory, name)
  const refuse = (why: string, cause?: unknown): SlipwayError =>
    new SlipwayError('invalid', `${generator}: ${destination}${name} ${why}`, { cause })
  const stat = lstatSync(file, { throwIfNoEntry: false })
  if (!stat?.isFile() || stat.size > largestBytes) throw refuse('is no file, or a too large one')
  let found: Partial<Attestation>
  try {
    found = JSON.parse(readFileSync(file, 'utf8')) as Partial<Attestation>
  } catch (cause) {
    throw refuse('is not JSON', cause)
  }
  const { predicateType, predicate } = found
  if (typeof predicateType !== 'string' || predicate === undefined) throw refuse('is no in-toto statement')
  return { predicateType, predicate, file: name }
}

/** The scanner as a step on its own image, with the result mounted: cached like any other. */
const scannerStep = (scan: Scan): OpNode => {
  const { scanner, options, root, extras } = scan
  const { Entrypoint = [], Cmd = [], Env = [], WorkingDir = '/', User = '' } = scanner.config.config ?? {}
  const args = [...(Entrypoint ?? []), ...(Cmd ?? [])]
  if (args.length === 0) throw new SlipwayError('invalid', `scanner ${fullName(options.generator)} does not have cmd`)
  const mkdir: MkdirOp = { kind: 'mkdir', path: destination }
  const run: RunOp = {
    kind: 'run',
    args,
    env: [
      ...[...(Env ?? []), `BUILDKIT_SCAN_DESTINATION=${destination}`, `BUILDKIT_SCAN_SOURCE=${core}`],
      ...(extras.length > 0 ? [`BUILDKIT_SCAN_SOURCE_EXTRAS=${extrasDirectory}`] : []),
      ...Object.entries(options.parameters).map(([name, value]) => `BUILDKIT_SCAN_${name}=${value}`),
    ],
    cwd: WorkingDir || '/',
    user: User,
    mounts: [
      ...[shown('sbom', core), ...extras.map(({ name }) => shown(name, `${extrasDirectory}/sbom-${name}`))],
      { type: 'tmpfs', target: '/tmp' },
    ],
    insecure: false,
    devices: [],
  }
  const title = `generating sbom using ${fullName(options.generator)}`
  const image = { kind: 'image', image: scanner, vertex: vertexOf(`[${scan.target}] ${title}`) } as const
  const below = stepOf(scan, mkdir, image, [])
  return stepOf(scan, run, below, [root, ...extras.map((extra) => extra.root), undefined], title)
}

const shown = (name: string, target: string): RunMount => ({
  ...{ type: 'bind', from: { kind: 'named', name }, source: '/', target, readOnly: true },
})

const vertexOf = (name: string) => ({ id: randomUUID(), name })

const stepOf = (
  { platform, target, environment }: Scan,
  op: MkdirOp | RunOp,
  input: Rootfs,
  sources: (Rootfs | undefined)[],
  title = 'preparing the scanner',
): OpNode => ({
  ...{ kind: 'op', op, input, sources, vertex: vertexOf(`[${target}] ${title}`) },
  ...{ range: { start: 1, end: 1 }, stage: 'sbom', platform, noCache: false, env: environment },
})
