/**
 * moby.buildkit.v1.frontend.LLBBridge, as far as clients that drive a build themselves need it: they ask for a frontend to be
 * solved, and return its result, which ends the Control.Solve that they have open.
 */
import { randomUUID } from 'node:crypto'
import { SlipwayError } from '../../../errors.ts'
import { frontendCapabilities, solverCapabilities } from './capabilities.ts'
import { type ControlDeps, solveFrontend, telling, workerOf } from './control.ts'
import { sourceOf } from './definitions.ts'
import type { Job } from './job.ts'
import {
  BridgeSolveRequest,
  BridgeSolveResponse,
  Empty,
  InputsResponse,
  PongResponse,
  ReadFileRequest,
  ReadFileResponse,
  ReturnRequest,
  StatFileRequest,
  StatFileResponse,
} from './messages.ts'
import { type Call, type Methods, unary } from './server.ts'
import { ask } from './solve.ts'
import { type FindFile, openSource, type SourceFile } from './sources.ts'
import { StatusError } from './status.ts'

/** By the id of a result. */
type Sources = Map<string, FindFile>

const fileOf = async (sources: Sources, ref: string, name: string): Promise<SourceFile> => {
  const found = await sources.get(ref)?.(name.replace(/^\/+/, ''))
  if (found) return found
  // Clients print the name of any other code before the message.
  throw new StatusError({ code: 2, message: `open ${name}: no such file or directory`, details: [] })
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
    [method('Ping')]: unary(Empty, PongResponse, async () => ({
      FrontendAPICaps: frontendCapabilities.map((ID) => ({ ID, Enabled: true })),
      LLBCaps: solverCapabilities.map((ID) => ({ ID, Enabled: true })),
      Workers: [await workerOf(deps)],
    })),
    [method('Solve')]: unary(BridgeSolveRequest, BridgeSolveResponse, async (request, call) => {
      const job = await jobOf(call)
      if (request.Frontend === '') {
        const source = await telling(job, async () => sourceOf(request.Definition))
        if (!source) return { result: {} }
        const found = await telling(job, () => openSource(deps, job, source))
        const id = randomUUID()
        sources.set(id, found)
        job.session.client.onClose(() => sources.delete(id))
        return { result: { ref: { id } } }
      }
      const { FrontendOpt: attrs, FrontendInputs: inputs } = request
      if (attrs.requestid) return { result: { metadata: await telling(job, () => ask(deps, job, attrs, inputs)) } }
      const asImage = await solveFrontend(deps, job, request.Frontend, attrs, inputs)
      const { id, def, forget } = deps.results.add(asImage)
      job.session.client.onClose(forget)
      return { result: { ref: { id, def } } }
    }),
    [method('ReadFile')]: unary(ReadFileRequest, ReadFileResponse, async ({ Ref, FilePath, Range }) => {
      const { data } = await fileOf(sources, Ref, FilePath)
      const { Offset = 0, Length = 0 } = Range ?? {}
      return { Data: data.subarray(Offset, Length > 0 ? Offset + Length : undefined) }
    }),
    [method('StatFile')]: unary(StatFileRequest, StatFileResponse, async ({ Ref, Path }) => {
      const { data, mode, mtimeNs } = await fileOf(sources, Ref, Path)
      return { stat: { path: Path, mode, size: data.length, modTime: mtimeNs } }
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
