/** A plan without an engine, for the tests of lowering. */
import type { Image, NamedDevice } from '../../engine/types.ts'
import { SlipwayError } from '../../errors.ts'
import { formatPlatform, type ImageConfig, type ImageProcessConfig, parsePlatform } from '../../spec/oci/index.ts'
import { compilePatterns } from '../context/patterns.ts'
import { deviceGrant, grantedDevices } from '../devices.ts'
import { parseDockerfile } from '../dockerfile/parser.ts'
import { createLint, type Warning } from '../rules/lint.ts'
import { checkStructure } from '../rules/structure.ts'
import type { OpNode, Rootfs } from './graph.ts'
import { locate } from './locate.ts'
import { planBuild, type Target } from './plan.ts'
import { globalScope, platformArgs, targetStage } from './scope.ts'
import type { StageResult } from './stage.ts'

interface PlanOptions {
  args?: Record<string, string>
  target?: string
  platform?: string
  images?: Record<string, ImageProcessConfig>
  /** Names of images that cannot be had. */
  missing?: string[]
  contexts?: Record<string, { image: string } | { stage: string } | { directory: string }>
  ignore?: string[]
  automounts?: string[]
  devices?: NamedDevice[]
  allow?: string[]
  /** BUILDKIT_DOCKERFILE_CHECK */
  check?: string
  whole?: boolean
}
interface Planned extends Target {
  warnings: string[]
  /** Images that were asked for. */
  asked: string[]
}

const imageWith = (name: string, config: ImageProcessConfig, more: Partial<ImageConfig> = {}): Image => ({
  id: `sha256:${name}`,
  config: {
    os: 'linux',
    architecture: 'amd64',
    rootfs: { type: 'layers', diff_ids: ['sha256:x'] },
    history: [{ created: '2020-01-01T00:00:00.000Z', created_by: 'base' }],
    ...more,
    config,
  },
  platform: { os: 'linux', architecture: more.architecture ?? 'amd64' },
  names: [name],
  repoDigests: [],
  createdAt: 0,
  size: 0,
  snapshots: [`snapshot of ${name}`],
})

export const plan = async (text: string, options: PlanOptions = {}): Promise<Planned> => {
  const dockerfile = parseDockerfile('Dockerfile', text)
  const warnings: Warning[] = []
  const asked: string[] = []
  const lint = createLint(dockerfile, options.check, (warning) => warnings.push(warning))
  checkStructure(dockerfile, lint)
  const host = parsePlatform('linux/amd64')
  const platform = parsePlatform(options.platform ?? 'linux/amd64')
  const args = options.args ?? {}
  const tree = (root: string) => ({ root, resetOwner: true, stable: true })
  const ignore = options.ignore && compilePatterns(options.ignore)
  const result = await planBuild({
    dockerfile,
    lint,
    platform,
    platformGiven: options.platform !== undefined,
    scope: globalScope(dockerfile, platformArgs(host, platform, targetStage(dockerfile, options.target)), args),
    target: options.target,
    whole: options.whole,
    buildArgs: args,
    noCache: () => false,
    environment: {
      network: 'default',
      hosts: [],
      proxies: [],
      shmSize: undefined,
      ulimits: [],
      resources: {},
      hostname: undefined,
      cgroupParent: undefined,
      cacheNamespace: '',
      renewedCaches: new Set(),
      automounts: options.automounts ?? [],
      devices: (wishes) => grantedDevices(wishes, options.devices ?? [], deviceGrant(options.allow ?? [])),
      privileged: false,
      hostNetwork: false,
      secret: async () => undefined,
      ssh: async () => undefined,
      sourceRules: [],
    },
    context: { kind: 'local', name: 'context', tree: { ...tree('/context'), ignore } },
    async namedContext(name) {
      const found = options.contexts?.[name]
      if (!found) return undefined
      return 'directory' in found ? { local: { kind: 'local', name, tree: tree(found.directory) } } : found
    },
    async image(reference, wanted) {
      asked.push(`${reference} ${formatPlatform(wanted)}`)
      if (options.missing?.includes(reference)) throw new SlipwayError('not-found', `${reference}: not found`)
      return imageWith(reference, options.images?.[reference] ?? {})
    },
    locate: (error, range) => locate(dockerfile.source, range, '', error),
  })
  lint.failIfAsked()
  return { ...result, asked, warnings: warnings.map(({ rule, message, at }) => `${at.line} ${rule}: ${message}`) }
}

/** The operations of a filesystem, first to last. */
export const opsOf = (rootfs: Rootfs): OpNode[] => {
  if (rootfs.kind === 'merge') return [...opsOf(rootfs.input), rootfs.layer]
  return rootfs.kind === 'op' ? [...opsOf(rootfs.input), rootfs] : []
}

export const historyOf = ({ history }: StageResult): string[] =>
  history.map(({ entry }) => `${entry.empty_layer ? '  ' : '* '}${entry.created_by}`)
