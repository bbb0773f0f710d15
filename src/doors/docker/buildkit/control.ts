/** moby.buildkit.v1.Control: builds, their progress, the cache and the one worker there is. */
import { cacheMatcher, foreignFrontend, isFreeDevice, runnable, sourceRules } from '../../../build/index.ts'
import type { Engine } from '../../../engine/types.ts'
import { isError, SlipwayError } from '../../../errors.ts'
import { parsePlatform } from '../../../spec/oci/index.ts'
import type { Arrivals } from './arrivals.ts'
import { historyMethods, pastProgress } from './history.ts'
import { createJob, type Export, type Job } from './job.ts'
import {
  type CacheOptionsEntry,
  ControlSolveRequest,
  ControlSolveResponse,
  DiskUsageRequest,
  DiskUsageResponse,
  Empty,
  HealthCheckRequest,
  HealthCheckResponse,
  InfoResponse,
  ListWorkersResponse,
  PruneRequest,
  StatusRequest,
  StatusResponse,
  UsageRecord,
  type WorkerRecord,
} from './messages.ts'
import { timestamp } from './progress.ts'
import type { Decoded } from './protobuf.ts'
import { type Call, type Methods, streaming, unary } from './server.ts'
import type { Session } from './session.ts'
import { type Inputs, type SolveDeps, solve } from './solve.ts'
import { StatusError, statusOf } from './status.ts'

export interface ControlDeps extends SolveDeps {
  version: string
  networks: Pick<Engine['networks'], 'get'>
  devices: Pick<Engine['devices'], 'list'>
  sessions: Arrivals<Session>
  jobs: Arrivals<Job>
}
type SolveRequest = Decoded<typeof ControlSolveRequest>

/** A finished build can be followed for this long (ms): its client may ask late. */
const afterlife = 10_000

export const controlMethods = (deps: ControlDeps): Methods => {
  const method = (name: string): string => `/moby.buildkit.v1.Control/${name}`
  return {
    [method('Info')]: unary(Empty, InfoResponse, () => ({ buildkitVersion: buildkitVersion(deps.version) })),
    [method('ListWorkers')]: unary(Empty, ListWorkersResponse, async () => ({ record: [await workerOf(deps)] })),
    [method('Solve')]: unary(ControlSolveRequest, ControlSolveResponse, (request, call) =>
      solveJob(deps, request, call),
    ),
    [method('Status')]: streaming(StatusRequest, StatusResponse, async ({ Ref }, { signal }, send) => {
      const progress = deps.jobs.has(Ref) ? undefined : await pastProgress(deps, Ref)
      const log = progress ?? (await deps.jobs.get(Ref, signal)).progress
      for await (const status of log.follow(signal)) await send(status)
    }),
    [method('DiskUsage')]: unary(DiskUsageRequest, DiskUsageResponse, async ({ filter }) => ({
      record: (await deps.builder.cacheUsage()).filter(cacheMatcher(filter)).map((usage) => ({
        ID: usage.id,
        Mutable: usage.mutable,
        Parents: usage.parents,
        InUse: usage.inUse,
        Size: usage.size,
        CreatedAt: timestamp(usage.createdAt),
        LastUsedAt: timestamp(usage.lastUsedAt),
        UsageCount: usage.usageCount,
        Description: usage.description,
        RecordType: usage.type,
        Shared: usage.shared,
      })),
    })),
    [method('Prune')]: streaming(PruneRequest, UsageRecord, (request, _call, send) => prune(deps, request, send)),
    ...historyMethods(deps),
    '/grpc.health.v1.Health/Check': unary(HealthCheckRequest, HealthCheckResponse, () => ({ status: 1 })),
  }
}

/** Clients choose by the version what they ask for: it is that of the BuildKit whose interface this is, dockerd 28.2's. */
const buildkitVersion = (version: string) => ({ package: 'slipway', version: 'v0.22.0', revision: version })

export const workerOf = async ({
  version,
  networks,
  devices,
  builder,
}: Pick<ControlDeps, 'version' | 'networks' | 'devices' | 'builder'>): Promise<
  Partial<Decoded<typeof WorkerRecord>>
> => ({
  ID: 'slipway',
  Labels: {
    // Tells clients that image archives can be exported.
    'org.mobyproject.buildkit.worker.snapshotter': 'overlayfs',
    // What clients put in the place of `--add-host NAME:host-gateway`.
    'org.mobyproject.buildkit.worker.moby.host-gateway-ip': networks.get('bridge')?.subnets[0]?.gateway ?? '127.0.0.1',
  },
  platforms: runnable()
    .map(parsePlatform)
    .map(({ os, architecture, variant = '' }) => ({ OS: os, Architecture: architecture, Variant: variant })),
  GCPolicy: builder.cachePolicy().map((rule) => ({
    all: rule.all ?? false,
    keepDuration: (rule.unusedMs ?? 0) * 1_000_000,
    reservedSpace: rule.reservedBytes ?? 0,
    maxUsedSpace: rule.maxUsedBytes ?? 0,
    minFreeSpace: rule.minFreeBytes ?? 0,
    filters: [...(rule.filters ?? [])],
  })),
  BuildkitVersion: buildkitVersion(version),
  CDIDevices: (await devices.list()).devices.map((device) => ({
    Name: device.name,
    AutoAllow: isFreeDevice(device),
    Annotations: device.annotations,
  })),
})

const exportsOf = (request: SolveRequest): Export[] => {
  const list = request.Exporters.map(({ Type = '', Attrs = {} }) => ({ type: Type, attrs: Attrs }))
  if (list.length > 0) return list
  const { ExporterDeprecated: type, ExporterAttrsDeprecated: attrs } = request
  return type === '' ? [] : [{ type, attrs }]
}

const solveJob = async (deps: ControlDeps, request: SolveRequest, call: Call) => {
  if (request.SourcePolicySession !== '')
    throw new SlipwayError('unsupported', 'source policies that the client decides on are not supported', {
      hint: 'Build without --policy; the file that EXPERIMENTAL_BUILDKIT_SOURCE_POLICY names is followed.',
    })
  if (deps.jobs.has(request.Ref)) throw new SlipwayError('already-exists', `job ID ${request.Ref} exists`)
  const session = await deps.sessions.get(request.Session, call.signal)
  const stop = new AbortController()
  const signal = AbortSignal.any([call.signal, stop.signal])
  session.client.onClose(() => stop.abort(new SlipwayError('cancelled', 'context canceled')))
  const job = createJob(
    {
      ref: request.Ref,
      session,
      exports: exportsOf(request),
      caches: cachesOf(request),
      signal,
      entitlements: request.Entitlements,
      sourceRules: sourceRules(request.SourcePolicy ?? {}),
    },
    deps.clock,
  )
  deps.jobs.add(job.ref, job)
  try {
    if (request.Frontend !== '')
      await solveFrontend(deps, job, request.Frontend, request.FrontendAttrs, request.FrontendInputs)
    else if ((request.Definition?.def?.length ?? 0) > 0) {
      throw new SlipwayError(
        'unsupported',
        'builds from a low-level definition are not supported: only Dockerfiles are built',
      )
    } else {
      const error = await job.waitForReturn
      if (error) throw new StatusError(error)
    }
    return { ExporterResponse: job.response }
  } catch (error) {
    throw new StatusError(statusOf(error, job.sources))
  } finally {
    job.progress.end()
    setTimeout(() => deps.jobs.remove(job.ref, job), afterlife).unref()
  }
}

const cachesOf = ({ Cache }: SolveRequest): Job['caches'] => {
  const plain = (entries: Partial<Decoded<typeof CacheOptionsEntry>>[] = []) =>
    entries.map(({ Type = '', Attrs = {} }) => ({ type: Type, attrs: Attrs }))
  return { from: plain(Cache?.Imports), to: plain(Cache?.Exports) }
}

/**
 * The frontend that a `# syntax=` line would fetch is the same language, which the builder speaks itself. `cmdline` is what
 * BUILDKIT_SYNTAX says instead of such a line: the builder tells that it is another one, as it does of a line.
 */
export const solveFrontend = async (
  deps: SolveDeps,
  job: Job,
  frontend: string,
  attrs: Record<string, string>,
  inputs: Inputs,
): Promise<() => Promise<string>> => {
  const { source = '', cmdline } = attrs
  if (frontend !== 'dockerfile.v0' && frontend !== 'gateway.v0')
    throw new SlipwayError('unsupported', `frontend ${frontend} not found: only Dockerfiles are built`)
  const foreign = foreignFrontend(source)
  if (frontend === 'gateway.v0' && cmdline === undefined && (source === '' || foreign !== undefined))
    throw new SlipwayError('unsupported', `frontend ${source || frontend} is not run here: only Dockerfiles are built`)
  return await telling(job, () => solve(deps, job, attrs, inputs))
}

/** Errors of a Dockerfile go to clients with its lines. */
export const telling = async <T>(job: Pick<Job, 'sources'>, task: () => Promise<T>): Promise<T> => {
  try {
    return await task()
  } catch (error) {
    if (error instanceof StatusError) throw error
    const status = statusOf(error, job.sources)
    // Clients print the name of any other code before the message.
    throw new StatusError({ ...status, code: isError(error, 'cancelled') ? status.code : 2 })
  }
}

const prune = async (
  { builder, clock }: SolveDeps,
  request: Decoded<typeof PruneRequest>,
  send: (value: Partial<Decoded<typeof UsageRecord>>) => Promise<void>,
): Promise<void> => {
  const before = new Map((await builder.cacheUsage()).map((usage) => [usage.id, usage]))
  const { deleted } = await builder.prune({
    all: request.all,
    filters: request.filter,
    until: request.keepDuration > 0 ? clock.now() - request.keepDuration / 1e6 : undefined,
    reservedBytes: request.reservedSpace,
    maxUsedBytes: request.maxUsedSpace,
    minFreeBytes: request.minFreeSpace,
  })
  for (const ID of deleted) {
    const usage = before.get(ID)
    await send({ ID, Size: usage?.size ?? 0, RecordType: usage?.type ?? '', Shared: usage?.shared ?? false })
  }
}
