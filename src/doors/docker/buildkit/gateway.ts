/**
 * moby.buildkit.v1.frontend.LLBBridge, as far as clients that drive a build themselves need it: they ask for a frontend to be
 * solved, and return its result, which ends the Control.Solve that they have open.
 */
import { SlipwayError } from '../../../errors.ts'
import { frontendCapabilities, solverCapabilities } from './capabilities.ts'
import { type ControlDeps, solveFrontend, telling, workerOf } from './control.ts'
import type { Job } from './job.ts'
import {
  BridgeSolveRequest,
  BridgeSolveResponse,
  Empty,
  InputsResponse,
  PongResponse,
  ReturnRequest,
} from './messages.ts'
import { type Call, type Methods, unary } from './server.ts'
import { ask } from './solve.ts'

export const gatewayMethods = (deps: ControlDeps): Methods => {
  const method = (name: string): string => `/moby.buildkit.v1.frontend.LLBBridge/${name}`
  const jobOf = async (call: Call): Promise<Job> => {
    const ref = call.metadata('buildkit-controlapi-buildid')
    if (ref === undefined) throw new SlipwayError('bad-request', 'no build id in the metadata')
    return await deps.jobs.get(ref, call.signal)
  }
  return {
    [method('Ping')]: unary(Empty, PongResponse, () => ({
      FrontendAPICaps: frontendCapabilities.map((ID) => ({ ID, Enabled: true })),
      LLBCaps: solverCapabilities.map((ID) => ({ ID, Enabled: true })),
      Workers: [workerOf(deps)],
    })),
    [method('Solve')]: unary(BridgeSolveRequest, BridgeSolveResponse, async (request, call) => {
      const job = await jobOf(call)
      if (request.Frontend === '') return { result: {} }
      if (request.FrontendOpt.requestid)
        return { result: { metadata: await telling(job, () => ask(deps, job, request.FrontendOpt)) } }
      const asImage = await solveFrontend(deps, job, request.Frontend, request.FrontendOpt, request.FrontendInputs)
      const { id, def, forget } = deps.results.add(asImage)
      job.session.client.onClose(forget)
      return { result: { ref: { id, def } } }
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
