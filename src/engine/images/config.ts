import { messageOf, SlipwayError } from '../../errors.ts'
import { fit, type Shape, struct } from '../../lib/shape.ts'
import { type Digest, hostPlatform, type ImageConfig, mediaTypes } from '../../spec/oci/index.ts'

/** BuildKit writes null where there is no layer. */
export const layersOf = ({ rootfs }: Pick<ImageConfig, 'rootfs'>): Digest[] =>
  (rootfs?.diff_ids as unknown) === null ? [] : rootfs?.diff_ids

/** Old images do not name their system: there was only one. */
export const withPlatform = (config: ImageConfig): ImageConfig => ({
  ...config,
  rootfs: { ...config.rootfs, diff_ids: layersOf(config) },
  os: config.os ?? 'linux',
  architecture: config.architecture ?? hostPlatform().architecture,
})

/** Besides their own names what registries of old days say. */
const configTypes = [
  ...[mediaTypes.ociConfig, mediaTypes.dockerConfig],
  ...['application/octet-stream', 'application/json', 'text/html', '', undefined],
]

/** Is it an image, or something else that registries keep as if it were one? */
export const checkConfigType = ({ mediaType }: { mediaType?: string | undefined }): void => {
  if (configTypes.includes(mediaType)) return
  throw new SlipwayError('unsupported', `unsupported media type ${mediaType}`, {
    hint: 'This is not a container image but another kind of artifact.',
  })
}

/** Layers of other systems cannot be unpacked here. Words are dockerd's. */
export const checkSystem = ({ os }: Pick<ImageConfig, 'os'>, refusal: (os: string) => string): void => {
  if (os !== 'linux') throw new SlipwayError('unsupported', refusal(os))
}

const texts: Shape = { list: 'string' }
const set: Shape = { map: 'any' }
const processShape = struct(
  'ImageConfig',
  { string: 'User WorkingDir StopSignal', bool: 'ArgsEscaped' },
  {
    ...{ Env: texts, Entrypoint: texts, Cmd: texts, OnBuild: texts, Shell: texts },
    ...{ ExposedPorts: set, Volumes: set, Labels: { map: 'string' } },
    Healthcheck: struct(
      'HealthConfig',
      { int64: 'Interval Timeout StartPeriod StartInterval Retries' },
      { Test: texts },
    ),
  },
)
const configShape = struct(
  'Image',
  { string: 'created author architecture variant os os.version parent container docker_version' },
  {
    ...{ config: processShape, container_config: processShape },
    rootfs: struct('RootFS', { string: 'type' }, { diff_ids: texts }),
    history: {
      list: struct('History', { string: 'created created_by author comment', bool: 'empty_layer' }),
    },
  },
)

const listsOf = ({ config, rootfs, history }: ImageConfig): (unknown[] | null | undefined)[] => {
  const { Env, Cmd, Entrypoint, OnBuild, Shell, Healthcheck } = config ?? {}
  return [Env, Cmd, Entrypoint, OnBuild, Shell, Healthcheck?.Test, rootfs?.diff_ids, history]
}

/**
 * Reads a configuration somebody else wrote. 'invalid' where it could not be run, or where a value is of a kind that clients
 * cannot read: all that they list would fail for one.
 */
export const readConfig = (text: string): ImageConfig => {
  let config: ImageConfig
  try {
    config = JSON.parse(text) as ImageConfig
  } catch (cause) {
    throw new SlipwayError('invalid', 'image configuration is not JSON', { cause })
  }
  const malformed = (why: string, cause?: unknown): SlipwayError =>
    new SlipwayError('invalid', `image configuration is malformed: ${why}`, { cause })
  try {
    fit(configShape, config)
  } catch (cause) {
    throw malformed(messageOf(cause).replace(/^invalid JSON: /, ''), cause)
  }
  if (config === null || listsOf(config).some((list) => list?.includes(null))) throw malformed('null')
  const diffIds = layersOf(config)
  if (!Array.isArray(diffIds) || diffIds.some((id) => !/^sha256:[a-f0-9]{64}$/.test(String(id))))
    throw new SlipwayError('invalid', 'image configuration has no valid rootfs.diff_ids')
  const whole = withPlatform(config)
  if (typeof whole.os !== 'string' || typeof whole.architecture !== 'string')
    throw new SlipwayError('invalid', 'image configuration names no platform')
  return whole
}
