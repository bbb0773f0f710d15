/** A service's `build:` as an order to the builder. Every key of it is either here or in the loss report. */
import { parseGitAddress } from '../../../build/index.ts'
import type { BuildOrder } from '../../../clients/control/index.ts'
import type { RegistryAuth } from '../../../engine/types.ts'
import { SlipwayError } from '../../../errors.ts'
import { type Project, positionOf, type Service } from '../../../spec/compose/project.ts'
import { hostPlatform, parsePlatform, platformRank } from '../../../spec/oci/index.ts'
import { attested, caches } from '../build/order.ts'

interface BuildWish {
  project: Project
  noCache: boolean
  /** Ask the registry for newer base images. */
  pullBases: boolean
  /** --build-arg, over the file's. */
  buildArgs: Record<string, string>
  auths: Record<string, RegistryAuth>
  env: Record<string, string | undefined>
  /** For every platform that the file names, with its attestations; else just what runs here. */
  forOthers: boolean
}

/** `contexts`: additional_contexts with services resolved to images. */
export const buildOrder = (
  wish: BuildWish,
  service: Service,
  tags: string[],
  contexts: Record<string, string>,
): BuildOrder => {
  const build = service.build!
  const context = build.context
  const args = Object.entries({ ...build.args, ...wish.buildArgs }).filter(
    (e): e is [string, string] => typeof e[1] === 'string',
  )
  return {
    context: contextOf(context),
    dockerfile:
      build.dockerfile_inline !== undefined
        ? { inline: build.dockerfile_inline }
        : { path: build.dockerfile ?? 'Dockerfile' },
    target: build.target,
    args: Object.fromEntries(args),
    labels: build.labels ?? {},
    tags: [...tags, ...(build.tags ?? [])],
    platforms: platformsOf(service, wish.forOthers),
    attest: wish.forOthers ? attested({ provenance: build.provenance, sbom: build.sbom }) : {},
    noCache: wish.noCache || (build.no_cache ?? false),
    noCacheFilter: build.no_cache_filter ?? [],
    pull: wish.pullBases || (build.pull ?? false),
    network: networkOf(wish.project, service),
    extraHosts: (build.extra_hosts ?? []).map(hostEntry),
    shmSize: build.shm_size,
    cacheFrom: caches(build.cache_from ?? [], { cwd: wish.project.workingDir }, 'src'),
    cacheTo: caches(build.cache_to ?? [], { cwd: wish.project.workingDir }, 'dest'),
    ulimits: Object.entries(build.ulimits ?? {}).map(([name, limit]) =>
      typeof limit === 'number' ? { name, soft: limit, hard: limit } : { name, ...limit },
    ),
    contexts,
    secrets: buildSecrets(wish.project, service),
    ssh: Object.entries(build.ssh ?? {}).flatMap(([id, path]) => {
      const socket = path || wish.env.SSH_AUTH_SOCK
      return socket ? [`${id}=${socket}`] : []
    }),
    auths: wish.auths,
    entitlements: [...(build.entitlements ?? []), ...(build.privileged ? ['security.insecure'] : [])],
  }
}

const platformsOf = ({ platform, build }: Service, all: boolean): string[] => {
  const named = build?.platforms ?? []
  if (all && named.length > 0) return named
  if (platform !== undefined) return [platform]
  const here = named.find((each) => platformRank(parsePlatform(each), hostPlatform()) > 0)
  return named.length > 0 ? [here ?? named[0]!] : []
}

const contextOf = (context: string | undefined): BuildOrder['context'] => {
  if (context === undefined) return { none: true }
  if (parseGitAddress(context)) return { git: context }
  return /^https?:\/\//.test(context) ? { url: context } : { directory: context }
}

const networkOf = (project: Project, service: Service): 'default' | 'none' | 'host' | undefined => {
  const network = service.build!.network
  if (network === undefined || network === 'default' || network === 'none' || network === 'host') return network
  throw new SlipwayError('unsupported', `services.${service.name}.build.network: "${network}" cannot be built on`, {
    hint: 'One of default, none and host.',
    at: positionOf(project, `services.${service.name}.build.network`),
  })
}

/** "name=address" or "name:address"; an IPv6 address may be in brackets. */
const hostEntry = (line: string): { name: string; address: string } => {
  const at = line.search(/[=:]/)
  return { name: line.slice(0, at), address: line.slice(at + 1).replace(/^\[(.*)\]$/, '$1') }
}

const buildSecrets = (project: Project, service: Service): BuildOrder['secrets'] =>
  Object.fromEntries(
    (service.build!.secrets ?? []).map((use): [string, BuildOrder['secrets'][string]] => {
      const id = use.target ?? use.source
      const secret = project.secrets[use.source]
      if (secret?.file) return [id, { file: secret.file }]
      if (secret?.environment) {
        const value = project.environment[secret.environment] ?? ''
        return [id, { valueBase64: Buffer.from(value).toString('base64') }]
      }
      throw new SlipwayError(
        'invalid',
        `services.${service.name}.build.secrets: secret "${use.source}" has neither file nor environment`,
        { at: positionOf(project, `services.${service.name}.build.secrets`) },
      )
    }),
  )
