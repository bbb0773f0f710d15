/**
 * moby.buildkit.v1.frontend.LLBBridge, as far as clients that drive a build themselves need it: they ask for a frontend to be
 * solved, and return its result, which ends the Control.Solve that they have open.
 */
import { randomUUID } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { posix } from 'node:path'
import { SlipwayError } from '../../../errors.ts'
import { frontendCapabilities, solverCapabilities } from './capabilities.ts'
import { type ControlDeps, solveFrontend, telling, workerOf } from './control.ts'
import type { Job } from './job.ts'
import {
  BridgeSolveRequest,
  BridgeSolveResponse,
  type Definition,
  Empty,
  InputsResponse,
  Op,
  PongResponse,
  ReadFileRequest,
  ReadFileResponse,
  type Result,
  ReturnRequest,
  StatFileRequest,
  StatFileResponse,
} from './messages.ts'
import type { Decoded } from './protobuf.ts'
import { type Call, type Methods, unary } from './server.ts'
import { ask } from './solve.ts'

/** Files that clients fetch by way of the builder (a Dockerfile at an address): by the id of the result, the name and where it is. */
type Sources = Map<string, { name: string; path: string }>

const pathOf = (sources: Sources, ref: string, name: string): string => {
  const found = sources.get(ref)
  if (found && found.name === name.replace(/^\/+/, '')) return found.path
  throw new SlipwayError('not-found', `open ${name}: no such file or directory`)
}

/** A definition that is a file at an http(s) address; any other one is no business of a builder of Dockerfiles. */
const solveSource = async (
  { builder }: ControlDeps,
  { session, signal }: Job,
  definition: Partial<Decoded<typeof Definition>> | undefined,
  sources: Sources,
): Promise<Partial<Decoded<typeof Result>>> => {
  const ops = (definition?.def ?? []).map((bytes) => Op.decode(bytes))
  if (ops.length === 0) return {}
  const [only, ...more] = ops.filter(({ source }) => source !== undefined)
  const { identifier = '', attrs = {} } = only?.source ?? {}
  if (!/^https?:\/\//.test(identifier) || more.length > 0 || ops.length > 2)
    throw new SlipwayError('unsupported', 'builds from a low-level definition are not supported', {
      hint: 'Build a Dockerfile.',
    })
  const { path, digest } = await builder.fetch(identifier, signal)
  const wanted = attrs['http.checksum']
  if (wanted !== undefined && wanted !== digest)
    throw new SlipwayError('invalid', `digest mismatch ${digest}: ${wanted}`)
  const id = randomUUID()
  sources.set(id, { name: attrs['http.filename'] ?? posix.basename(new URL(identifier).pathname), path })
  session.client.onClose(() => sources.delete(id))
  return { ref: { id } }
}

export const gatewayMethods = (deps: ControlDeps): Methods => {
  const method = (name: string): string => `/moby.buildkit.v1.frontend.LLBBridge/${name}`
  const jobOf = async (call: Call): Promise<Job> => {
    const ref = call.metadata('buildkit-controlapi-buildid')
    if (ref === undefined) throw new SlipwayError('bad-request', 'no build id in the metadata')
    return await deps.jobs.get(ref, call.signal)
  }
  const sources: Sources = new Map()
  return {
    [method('Ping')]: unary(Empty, PongResponse, () => ({
      FrontendAPICaps: frontendCapabilities.map((ID) => ({ ID, Enabled: true })),
      LLBCaps: solverCapabilities.map((ID) => ({ ID, Enabled: true })),
      Workers: [workerOf(deps)],
    })),
    [method('Solve')]: unary(BridgeSolveRequest, BridgeSolveResponse, async (request, call) => {
      const job = await jobOf(call)
      if (request.Frontend === '') return { result: await solveSource(deps, job, request.Definition, sources) }
      if (request.FrontendOpt.requestid)
        return { result: { metadata: await telling(job, () => ask(deps, job, request.FrontendOpt)) } }
      const asImage = await solveFrontend(deps, job, request.Frontend, request.FrontendOpt, request.FrontendInputs)
      const { id, def, forget } = deps.results.add(asImage)
      job.session.client.onClose(forget)
      return { result: { ref: { id, def } } }
    }),
    [method('ReadFile')]: unary(ReadFileRequest, ReadFileResponse, async ({ Ref, FilePath, Range }) => {
      const data = await readFile(pathOf(sources, Ref, FilePath))
      const { Offset = 0, Length = 0 } = Range ?? {}
      return { Data: data.subarray(Offset, Length > 0 ? Offset + Length : undefined) }
    }),
    [method('StatFile')]: unary(StatFileRequest, StatFileResponse, async ({ Ref, Path }) => {
      const { size, mtimeNs } = await stat(pathOf(sources, Ref, Path), { bigint: true })
      return { stat: { path: Path, mode: 0o600, size: Number(size), modTime: mtimeNs } }
    }),
    [method('Inputs')]: unary(Empty, InputsResponse, () => ({})),
    [method('Evaluate')]: unary(Empty, Empty, () => ({})),
    [method('Warn')]: unary(Empty, Empty, () => ({})),
    [method('Return')]: unary(ReturnRequest, Empty, async ({ error }, call) => {
      const { code = 0, message = '', details = [] } = error ?? {}
      ;(await jobOf(call)).returned(code === 0 ? undefined : { code, message, details })
      return {}
    }),
  }
}
