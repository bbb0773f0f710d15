/** Flags and arguments of `slipway build` as an order to the builder. */
import { dirname, join, relative, resolve } from 'node:path'
import { existsSync, readFileSync, realpathSync, statSync } from '../../../lib/fs.ts'
import type { CacheOrder, ContextOrder, ImageBuildOrder, OutputOrder } from '../../../clients/control/index.ts'
import { messageOf, SlipwayError } from '../../../errors.ts'
import { familiarName, parseReference } from '../../../spec/reference/index.ts'
import { registryAuths } from '../app/registry-auth.ts'
import { proxyVariables } from '../docker/client-config.ts'
import { csv } from '../../../lib/csv.ts'
import { bytes, pair, pairsOf, swapBytes } from '../docker/value.ts'
import type { Shell } from '../framework/command.ts'
import { Exit } from '../framework/failure.ts'
import { type Flags, parseBool } from '../framework/flags.ts'

type Here = Pick<Shell, 'env' | 'cwd'>
type Fields = Record<string, string>

const several = (flags: Flags, name: string): string[] => (flags[name] as string[] | undefined) ?? []
const text = (flags: Flags, name: string): string => (flags[name] as string | undefined) ?? ''
const refuse = (message: string): Exit => new Exit(1, `ERROR: ${message}`)

/** "type=x,a=b" → { type: 'x', a: 'b' }; keys are not case-sensitive. */
const fieldsOf = (given: string): Fields =>
  Object.fromEntries(
    csv(given).map((field) => {
      if (!field.includes('=')) throw refuse(`invalid value ${field}`)
      const [key, value] = pair(field)
      return [key.trim().toLowerCase(), value]
    }),
  )

const isGit = (address: string): boolean =>
  /^(?:git:\/\/|git@|ssh:\/\/)/.test(address) ||
  /^(?:https?:\/\/|github\.com\/).*(?:\.git(?:[#?].*)?$|\.git#)/.test(address) ||
  address.startsWith('github.com/')
const isUrl = (address: string): boolean => /^https?:\/\//.test(address)

/** `input`: what stands in for standard input, once it is known what that is. */
export interface StandardInput {
  /** A file it was written to. */
  archive?: string | undefined
  dockerfile?: string | undefined
}

const contextOf = (given: string, here: Here, input: StandardInput): ImageBuildOrder['context'] => {
  if (given === '-') return input.archive === undefined ? { none: true } : { tarFile: input.archive }
  if (isGit(given)) return { git: given }
  if (isUrl(given)) return { url: given }
  const directory = resolve(here.cwd, given)
  const stat = statSync(directory, { throwIfNoEntry: false })
  if (!stat) throw refuse(`unable to prepare context: path ${JSON.stringify(given)} not found`)
  if (!stat.isDirectory()) throw refuse(`unable to prepare context: path ${JSON.stringify(given)} must be a directory`)
  return { directory }
}

const dockerfileOf = (
  flags: Flags,
  context: ImageBuildOrder['context'],
  here: Here,
  input: StandardInput,
): ImageBuildOrder['dockerfile'] => {
  if (input.dockerfile !== undefined) return { inline: input.dockerfile }
  const given = text(flags, 'file')
  if (given === '') return undefined
  // Of what is fetched, it is a file inside; else a file of this machine.
  return 'directory' in context ? { path: resolve(here.cwd, given) } : { path: given }
}

const buildArgs = (flags: Flags, here: Here): Record<string, string> => {
  const given = several(flags, 'build-arg').flatMap((each): [string, string][] => {
    if (each.includes('=')) return [pair(each)]
    const value = here.env[each]
    return value === undefined ? [] : [[each, value]]
  })
  return { ...proxyVariables(here.env), ...Object.fromEntries(given) }
}

const secretsOf = (flags: Flags, here: Here): ImageBuildOrder['secrets'] =>
  Object.fromEntries(
    several(flags, 'secret').map((given): [string, ImageBuildOrder['secrets'][string]] => {
      const { id = '', src, source = src, env, type, ...unknown } = fieldsOf(given)
      const [stranger] = Object.keys(unknown)
      if (stranger !== undefined) throw refuse(`unexpected key '${stranger}' in '${stranger}=${unknown[stranger]}'`)
      if (type !== undefined && type !== 'file' && type !== 'env')
        throw refuse(`unsupported secret type ${JSON.stringify(type)}`)
      const variable = env ?? (type === 'env' ? (source ?? id) : undefined)
      const file = variable === undefined ? source : undefined
      // By its id alone: the variable of that name, else the file.
      const name = variable ?? (file === undefined && here.env[id] !== undefined ? id : undefined)
      if (name !== undefined) return [id || name, { valueBase64: Buffer.from(here.env[name] ?? '').toString('base64') }]
      const path = resolve(here.cwd, file ?? id)
      if (!existsSync(path)) throw refuse(`failed to stat ${file ?? id}: stat ${file ?? id}: no such file or directory`)
      return [id || (file ?? ''), { file: path }]
    }),
  )

const agentsOf = (flags: Flags, here: Here): string[] =>
  several(flags, 'ssh').map((given) => {
    const [id, path] = given.includes('=') ? pair(given) : [given, '']
    const socket = path === '' ? here.env.SSH_AUTH_SOCK : resolve(here.cwd, path)
    if (!socket) throw refuse(`invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set`)
    const stat = statSync(socket, { throwIfNoEntry: false })
    if (!stat) throw refuse(`stat ${path || socket}: no such file or directory`)
    if (!stat.isSocket())
      throw refuse(`${path} is not an agent's socket: add the key to an agent (ssh-add ${path}) and pass its socket`)
    return `${id}=${socket}`
  })

/** Without what is not the exporter's or the cache's own business. */
const attrsOf = ({ type: _, dest: __, ...attrs }: Fields): Fields => attrs

/** Of --cache-from (`src`) and --cache-to (`dest`). */
export const caches = (given: readonly string[], here: Pick<Here, 'cwd'>, key: 'src' | 'dest'): CacheOrder[] =>
  given.map((each) => {
    // An image's name alone.
    if (!each.includes('=')) return { type: 'registry', attrs: { ref: each } }
    const fields = fieldsOf(each)
    const { type = '' } = fields
    if (type === '') throw refuse(`type required form> ${JSON.stringify(each)}`)
    if (type !== 'local') return { type, attrs: attrsOf(fields) }
    if (!fields[key]) throw refuse(`local cache ${key === 'src' ? 'importer requires src' : 'exporter requires dest'}`)
    return { type, attrs: attrsOf(fields), directory: resolve(here.cwd, fields[key]) }
  })

const layout = /^oci-layout:\/\/([^@]+?)(?::([\w][\w.-]*))?(?:@(sha256:[0-9a-f]{64}))?$/

const contextsOf = (flags: Flags, here: Here): Record<string, ContextOrder> =>
  Object.fromEntries(
    several(flags, 'build-context').map((given): [string, ContextOrder] => {
      const [name, value] = pair(given)
      if (!given.includes('=') || name === '') throw refuse(`invalid context value: ${given}, expected key=value`)
      const [, directory, tag = 'latest', digest] = layout.exec(value) ?? []
      if (directory !== undefined) return [name, { layout: resolve(here.cwd, directory), tag, digest }]
      if (/^(?:docker-image|target):/.test(value) || isUrl(value) || isGit(value)) return [name, value]
      const path = resolve(here.cwd, value)
      if (!existsSync(path))
        throw refuse(`failed to get build context path ${name}: stat ${value}: no such file or directory`)
      return [name, path]
    }),
  )

/** `toStdout`: a file that stands in for standard output. */
const outputOf = (given: string, here: Here, toStdout: () => string): OutputOrder => {
  const plain = !given.includes('=')
  const fields: Fields = plain
    ? given === '-'
      ? { type: 'tar', dest: '-' }
      : { type: 'local', dest: given }
    : fieldsOf(given)
  const { type = '', dest } = fields
  if (type === '') throw refuse(`type is required for output`)
  const attrs = attrsOf(fields)
  const tree = type === 'local' || attrs.tar === 'false'
  switch (type) {
    case 'registry':
      return { type: 'image', attrs: { ...attrs, push: 'true' } }
    case 'image':
      return { type, attrs }
    case 'cacheonly':
    case 'none':
      return { type: 'none', attrs: {} }
    case 'docker':
      if (dest === undefined) return { type: 'image', attrs }
      break
    case 'local':
    case 'tar':
    case 'oci':
      break
    default:
      throw refuse(`unsupported output type ${JSON.stringify(type)}`)
  }
  if (dest === undefined && tree) throw refuse(`output directory is required for ${type} exporter`)
  if (dest === '-' && tree) throw refuse(`dest cannot be stdout for ${type} exporter`)
  if (dest === undefined || dest === '-') return { type, attrs, path: toStdout() }
  return { type, attrs, path: resolve(here.cwd, dest) }
}

const tagsOf = (flags: Flags): string[] =>
  several(flags, 'tag').map((name) => {
    try {
      const reference = parseReference(name)
      if (reference.digest !== undefined) throw new SlipwayError('invalid', 'build tag cannot contain a digest')
      return familiarName({ ...reference, tag: reference.tag ?? 'latest' })
    } catch (error) {
      throw refuse(`failed to build: invalid tag ${JSON.stringify(name)}: ${messageOf(error)}`)
    }
  })

/** [TYPE[PLATFORM][,TYPE…]:]KEY=VALUE, as attributes of exporters. */
const annotationOf = (given: string): [string, string][] => {
  if (!given.includes('=')) throw refuse(`invalid annotation ${JSON.stringify(given)}, expected key=value`)
  const [key, value] = pair(given)
  const at = key.indexOf(':')
  if (at < 0) return [[`annotation.${key}`, value]]
  return key
    .slice(0, at)
    .split(',')
    .map((type) => {
      if (!/^(manifest|index)(-descriptor)?(\[[A-Za-z0-9_/-]+\])?$/.test(type))
        throw refuse(`unknown annotation type ${JSON.stringify(type)}`)
      return [`annotation-${type}.${key.slice(at + 1)}`, value]
    })
}

/** Deleting what is there needs no leave below the working directory; `given` is where links lead. */
const checkDelete = ({ type, attrs, path }: OutputOrder, { cwd }: Here, allowed: readonly string[]): void => {
  if (type !== 'local' || attrs.mode !== 'delete' || path === undefined) return
  let there = path
  while (!existsSync(there)) there = dirname(there)
  const inside = relative(realpathSync(cwd), join(realpathSync(there), relative(there, path)))
  if (inside !== '' && inside !== '..' && !inside.startsWith('../')) return
  if (allowed.includes(localDelete)) return
  throw refuse(
    `local output mode=delete for ${path} is only allowed below the working directory; to delete what is there, add --allow=${localDelete}`,
  )
}

const localDelete = 'buildx.local.delete'

const outputsOf = (flags: Flags, here: Here, toStdout: () => string): OutputOrder[] => {
  const given = several(flags, 'output')
  const { push, load } = flags
  const asked = given.map((each) => outputOf(each, here, toStdout))
  for (const each of asked) checkDelete(each, here, several(flags, 'allow'))
  if (push === true) asked.push({ type: 'image', attrs: { push: 'true' } })
  if (load === true || asked.length === 0) asked.push({ type: 'image', attrs: {} })
  const name = tagsOf(flags).join(',')
  const annotations = Object.fromEntries(several(flags, 'annotation').flatMap(annotationOf))
  const images = ['image', 'docker', 'oci']
  return asked.map((output) => {
    if (!images.includes(output.type)) return output
    return {
      ...output,
      attrs: { ...annotations, ...output.attrs, ...(name !== '' && output.attrs.name === undefined && { name }) },
    }
  })
}

/** By type: the options without it. */
const attestationsOf = (flags: Flags): Record<string, string> => {
  const found: Record<string, string> = {}
  for (const given of several(flags, 'attest')) {
    const fields = fieldsOf(given)
    if (!fields.type) throw refuse(`attestation type not specified`)
    delete found[fields.type]
    Object.assign(found, attestation(fields.type, fields))
  }
  for (const type of ['provenance', 'sbom']) {
    if (text(flags, type) !== '') delete found[type]
    Object.assign(found, attested({ [type]: text(flags, type) }))
  }
  return found
}
const attestation = (key: string, { disabled = 'false', type: _, ...options }: Fields): Record<string, string> =>
  parseBool(disabled)
    ? {}
    : {
        [key]: Object.entries(options)
          .map(([name, value]) => `${name}=${value}`)
          .join(','),
      }
/** Each value says yes or no, or gives options. Those that are wanted, like attestationsOf(). */
export const attested = (asked: Record<string, string | boolean | undefined>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(asked).flatMap(([type, value = '']) => {
      const given = String(value)
      if (given === '') return []
      const fields = isBool(given) ? { disabled: String(!parseBool(given)) } : fieldsOf(given)
      return Object.entries(attestation(type, fields))
    }),
  )
const isBool = (given: string): boolean => {
  try {
    parseBool(given)
    return true
  } catch {
    return false
  }
}

const hostOf = (line: string): { name: string; address: string } => {
  const at = line.indexOf(':')
  return { name: line.slice(0, at), address: line.slice(at + 1) }
}

const sizes = ['memory', 'memory-swap']
const limitNames = [...sizes, 'cpu-quota', 'cpu-period', 'cpu-shares', 'cpuset-cpus', 'cpuset-mems']

/** By the names of BuildKit's frontend; sizes as numbers of bytes. */
const limitsOf = (flags: Flags): Record<string, string> =>
  Object.fromEntries(
    several(flags, 'resource').map((given) => {
      const [name, value] = pair(given)
      if (!limitNames.includes(name) || value === '')
        throw refuse(
          `invalid resource ${JSON.stringify(given)}: expected KEY=VALUE with one of ${limitNames.join(', ')}`,
        )
      if (!sizes.includes(name)) return [name, value]
      try {
        return [name, String(name === 'memory' ? bytes(value) : swapBytes(value))]
      } catch (error) {
        throw refuse(`invalid resource ${JSON.stringify(given)}: ${messageOf(error)}`)
      }
    }),
  )

/** Rules on where sources come from, in the file that buildx reads them from, too. */
const sourcePolicyOf = ({ env, cwd }: Here): ImageBuildOrder['sourcePolicy'] => {
  const file = env.EXPERIMENTAL_BUILDKIT_SOURCE_POLICY
  if (!file) return {}
  try {
    const found: unknown = JSON.parse(readFileSync(resolve(cwd, file), 'utf8'))
    if (typeof found !== 'object' || found === null || Array.isArray(found)) throw new Error('not an object')
    return found
  } catch (error) {
    throw refuse(`failed to parse source policy: ${messageOf(error)}`)
  }
}

export const buildOrderOf = async (
  flags: Flags,
  [given = '']: readonly string[],
  here: Here,
  input: StandardInput,
  toStdout: () => string,
): Promise<ImageBuildOrder> => {
  const context = contextOf(given, here, input)
  const allowed = several(flags, 'allow').filter((each) => each !== localDelete)
  const stranger = allowed.find((each) => !/^(security\.insecure|network\.host|device(=.*)?)$/.test(each))
  if (stranger !== undefined) throw refuse(`unknown entitlement ${stranger}`)
  const network = text(flags, 'network') || undefined
  const limits = (flags.ulimit as { Name: string; Soft: number; Hard: number }[] | undefined) ?? []
  return {
    context,
    dockerfile: dockerfileOf(flags, context, here, input),
    target: text(flags, 'target') || undefined,
    args: buildArgs(flags, here),
    labels: pairsOf(flags.label),
    attest: attestationsOf(flags),
    platforms: several(flags, 'platform').filter((each) => each !== ''),
    noCache: flags['no-cache'] === true,
    noCacheFilter: several(flags, 'no-cache-filter'),
    pull: flags.pull === true,
    network,
    extraHosts: several(flags, 'add-host').map(hostOf),
    shmSize: flags['shm-size'] as number | undefined,
    ulimits: limits.map(({ Name, Soft, Hard }) => ({ name: Name, soft: Soft, hard: Hard })),
    cgroupParent: text(flags, 'cgroup-parent') || undefined,
    limits: limitsOf(flags),
    contexts: contextsOf(flags, here),
    secrets: secretsOf(flags, here),
    ssh: agentsOf(flags, here),
    auths: await registryAuths(here.env),
    sourcePolicy: sourcePolicyOf(here),
    entitlements: [...allowed, ...(network === 'host' ? ['network.host'] : [])],
    cacheFrom: caches(several(flags, 'cache-from'), here, 'src'),
    cacheTo: caches(several(flags, 'cache-to'), here, 'dest'),
    outputs: outputsOf(flags, here, toStdout),
  }
}
