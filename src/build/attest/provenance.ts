/** How something was built, by SLSA's provenance (v0.2, or v1), in the words of BuildKit's own (solver/llbsolver/provenance). */
import { redacted } from '../../lib/redacted.ts'
import type { Image } from '../../engine/types.ts'
import {
  type Descriptor,
  formatPlatform,
  hostPlatform,
  isReference,
  parseReference,
  repositoryOf,
} from '../../spec/oci/index.ts'
import type { Product } from '../output/product.ts'
import { below, isRun, type Rootfs } from '../solver/graph.ts'
import type { BuildRequest } from '../types.ts'
import type { ProvenanceOptions } from './options.ts'
import { type Attestation, packageUrl } from './statement.ts'
import { type Steps, stepsOf } from './steps.ts'

const buildType = 'https://mobyproject.org/buildkit@v1'

/** What was fetched from elsewhere: the commit of a repository, or `sha256:…` of a file. */
export interface Material {
  url: string
  digest: string
}
export interface Base {
  /** As it was asked for. */
  reference: string
  image: Image
  /** It came in as a context. */
  isLayout?: boolean
}
/** What is known of a build besides its request and its result. */
export interface BuildFacts {
  id: string
  startedAt: number
  dockerfile: { file: string; text: string }
  materials: readonly Material[]
  /** Of the product's platform. */
  bases: readonly Base[]
}

interface Told {
  args: Record<string, string>
  secrets: { id: string; optional?: boolean }[]
  ssh: { id: string; optional?: boolean }[]
}

/** `layers`: of the image, as they went out. */
export const provenance = (
  facts: BuildFacts,
  request: BuildRequest,
  product: Pick<Product, 'platform' | 'stage'>,
  options: ProvenanceOptions,
  layers: readonly Descriptor[],
  finishedAt: number,
): Attestation => {
  const { rootfs } = product.stage
  const named = namesOf(facts.bases, rootfs)
  const local = isLocal(request)
  const max = options.mode === 'max'
  const { args: all, secrets, ssh } = toldBy(request, rootfs)
  const args = max ? all : withoutChoices(all)
  const steps = max ? stepsOf(rootfs, product.platform, named) : undefined
  const hermetic = !local && below(rootfs).every((node) => node.kind !== 'op' || !usesNetwork(node))
  const metadata = {
    ...(Object.keys(request.vcs ?? {}).length > 0 ? { vcs: vcsOf(request) } : {}),
    ...(steps ? { source: { locations: steps.locations, infos: [sourceInfo(facts)] } } : {}),
    ...(steps ? layersOf(steps, layers) : {}),
  }
  const said: Said = {
    facts,
    options,
    materials: [...imageMaterials(named), ...facts.materials.map(fetched)],
    source: contextSource(request, facts),
    parameters: {
      frontend: 'dockerfile.v0',
      args,
      ...(max && secrets.length > 0 ? { secrets } : {}),
      ...(max && ssh.length > 0 ? { ssh } : {}),
      ...(local ? { locals: [{ name: 'context' }, { name: 'dockerfile' }] } : {}),
    },
    environment: { platform: formatPlatform(hostPlatform()) },
    config: steps ? { buildConfig: { llbDefinition: steps.steps } } : {},
    times: { started: new Date(facts.startedAt).toISOString(), finished: new Date(finishedAt).toISOString() },
    completeness: {
      parameters: Object.keys(args).length === Object.keys(all).length,
      environment: true,
      materials: !local,
    },
    extensions: {
      ...(hermetic ? { [`${buildType}#hermetic`]: true } : {}),
      [`${buildType}#metadata`]: metadata,
    },
  }
  return options.version === 'v1' ? asV1(said) : asV02(said)
}

/** Of the base and of the result. */
const layersOf = ({ base, last }: Steps, layers: readonly Descriptor[]): object => {
  const told = new Map<string, readonly Descriptor[]>()
  if (base && base.layers > 0) told.set(base.id, layers.slice(0, base.layers))
  if (last !== undefined && layers.length > 0) told.set(last, layers)
  const found = [...told].map(([id, list]): [string, object] => [`${id}:0`, [list]])
  return found.length === 0 ? {} : { layers: Object.fromEntries(found) }
}

interface Said {
  facts: BuildFacts
  options: ProvenanceOptions
  materials: object[]
  source: ConfigSource
  parameters: object
  environment: object
  config: object
  times: { started: string; finished: string }
  completeness: object
  extensions: object
}

const asV02 = (said: Said): Attestation => {
  const { facts, options, materials, source, parameters, environment, config, times } = said
  return {
    predicateType: 'https://slsa.dev/provenance/v0.2',
    file: 'provenance.json',
    predicate: {
      ...{ builder: { id: options.builderId }, buildType, materials },
      invocation: { configSource: source, parameters, environment },
      ...config,
      metadata: {
        ...{ buildInvocationID: facts.id, buildStartedOn: times.started, buildFinishedOn: times.finished },
        ...{ completeness: said.completeness, reproducible: options.reproducible, ...said.extensions },
      },
    },
  }
}

const asV1 = (said: Said): Attestation => {
  const { facts, options, source, parameters, environment, config, times } = said
  const { uri, digest, entryPoint } = source
  return {
    predicateType: 'https://slsa.dev/provenance/v1',
    file: 'provenance.json',
    predicate: {
      buildDefinition: {
        buildType,
        externalParameters: { configSource: { uri, digest, path: entryPoint }, parameters, ...config },
        internalParameters: { environment },
        resolvedDependencies: said.materials,
      },
      runDetails: {
        builder: { id: options.builderId },
        metadata: {
          ...{ invocationID: facts.id, startedOn: times.started, finishedOn: times.finished },
          ...said.extensions,
          [`${buildType}#completeness`]: said.completeness,
          ...(options.reproducible ? { [`${buildType}#reproducible`]: true } : {}),
        },
      },
    },
  }
}

const isLocal = ({ context }: BuildRequest): boolean =>
  'directory' in context || 'remote' in context || 'tar' in context

const usesNetwork = (node: Extract<ReturnType<typeof below>[number], { kind: 'op' }>): boolean =>
  isRun(node) && (node.op.network ?? node.env.network) !== 'none'

/** What base images of the result were asked for by, and their digest at the registry, else of their configuration. */
const namesOf = (bases: readonly Base[], root: Rootfs): Map<string, NamedBase> => {
  const used = new Set(below(root).flatMap((node) => (node.kind === 'image' ? [node.image.id] : [])))
  return new Map(
    bases
      .filter(({ image }) => used.has(image.id))
      .map((base) => [base.image.id, { ...base, digest: digestOf(base.reference, base.image) }]),
  )
}
interface NamedBase extends Base {
  digest: string
}

const digestOf = (reference: string, { id, repoDigests }: Image): string => {
  try {
    const parsed = parseReference(reference)
    if (parsed.digest !== undefined) return parsed.digest
    const repository = repositoryOf(parsed)
    return repoDigests.find((each) => each.startsWith(`${repository}@`))?.split('@')[1] ?? id
  } catch {
    return id // it was asked for by its id
  }
}

const imageMaterials = (bases: ReadonlyMap<string, NamedBase>) =>
  [...bases.values()].map(({ reference, digest, image, isLayout }) => ({
    uri: isLayout ? packageUrl(reference, image.platform, 'oci') : urlOf(reference, image),
    digest: { sha256: digest.slice('sha256:'.length) },
  }))

const urlOf = (reference: string, { id, platform, names }: Image): string => {
  const name = isReference(reference) && reference !== id ? reference : names[0]
  return name === undefined ? `pkg:docker/${reference}` : packageUrl(name, platform)
}

const digestSet = (digest: string): Record<string, string> =>
  digest.startsWith('sha256:')
    ? { sha256: digest.slice('sha256:'.length) }
    : { [digest.length === 64 ? 'sha256' : 'sha1']: digest }

const fetched = ({ url, digest }: Material) => ({ uri: redacted(url), digest: digestSet(digest) })

interface ConfigSource {
  uri?: string
  digest?: Record<string, string>
  entryPoint: string
}

const contextSource = ({ context }: BuildRequest, { dockerfile, materials }: BuildFacts): ConfigSource => {
  const url = 'git' in context ? context.git : 'url' in context ? context.url : undefined
  const entryPoint = dockerfile.file
  if (url === undefined) return { entryPoint }
  const known = materials.find((each) => each.url === url)
  return { uri: redacted(url), ...(known ? { digest: digestSet(known.digest) } : {}), entryPoint }
}

/** The request as attributes of the frontend, and what steps ask for. */
const toldBy = (request: BuildRequest, root: Rootfs): Told => {
  const { args, labels, target, noCache, noCacheFilter = [], network, extraHosts = [], contexts = {} } = request
  const prefixed = (prefix: string, values: Readonly<Record<string, string>>) =>
    Object.entries(values).map(([key, value]): [string, string] => [prefix + key, value])
  const secrets = new Map<string, { id: string; optional?: boolean }>()
  const ssh = new Map<string, { id: string; optional?: boolean }>()
  for (const node of below(root))
    for (const mount of node.kind === 'op' && isRun(node) ? node.op.mounts : []) {
      if (mount.type !== 'secret' && mount.type !== 'ssh') continue
      const list = mount.type === 'secret' ? secrets : ssh
      list.set(mount.id, { id: mount.id, ...(mount.required ? {} : { optional: true }) })
    }
  const named = Object.entries(contexts).flatMap(([name, value]): [string, string][] =>
    typeof value === 'string' ? [[`context:${name}`, redacted(value)]] : [],
  )
  return {
    args: Object.fromEntries([
      ...prefixed('build-arg:', args),
      ...prefixed('label:', labels),
      ...named,
      ...(target ? [['target', target]] : []),
      ...(noCache ? [['no-cache', '']] : noCacheFilter.length > 0 ? [['no-cache', noCacheFilter.join(',')]] : []),
      ...(network && network !== 'default' ? [['force-network-mode', network]] : []),
      ...(extraHosts.length > 0
        ? [['add-hosts', extraHosts.map(({ name, address }) => `${name}=${address}`).join(',')]]
        : []),
    ]) as Record<string, string>,
    secrets: [...secrets.values()],
    ssh: [...ssh.values()],
  }
}

const withoutChoices = (args: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(args).filter(([key]) => !/^(build-arg|label):/.test(key)))

const vcsOf = ({ vcs = {} }: BuildRequest): Record<string, string> =>
  Object.fromEntries(Object.entries(vcs).map(([key, value]) => [key, key === 'source' ? redacted(value) : value]))

const sourceInfo = ({ dockerfile: { file, text } }: BuildFacts): object => ({
  filename: file,
  language: 'Dockerfile',
  data: Buffer.from(text).toString('base64'),
})
