/** What one aspect of a service adds to its pod. The aspects are lowered one by one and put together at the end. */
import type { Container, PodSpec, Volume, VolumeMount } from '../../spec/kube/generated/types.ts'
import type { KubeObject } from '../../spec/kube/kinds.ts'
import type { ContainerRuntime, PodRuntime } from '../../spec/kube/runtime-annotation.ts'

export interface Piece {
  container?: Partial<Container>
  pod?: Partial<PodSpec>
  volumes?: Volume[]
  mounts?: VolumeMount[]
  runtime?: ContainerRuntime
  podRuntime?: Omit<PodRuntime, 'version' | 'containers'>
  podAnnotations?: Record<string, string>
  /** Objects that must be there before the pod: configuration, storage. */
  objects?: KubeObject[]
}

const join = <T extends object>(a: T | undefined, b: T | undefined): T | undefined => {
  if (!a || !b) return a ?? b
  const result = { ...a } as Record<string, unknown>
  for (const [key, value] of Object.entries(b)) {
    const before = result[key]
    if (value === undefined) continue
    if (Array.isArray(before) && Array.isArray(value)) result[key] = [...before, ...value]
    else if (isPlain(before) && isPlain(value)) result[key] = join(before, value)
    else result[key] = value
  }
  return result as T
}
const isPlain = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Objects join key by key, lists one after the other; volumes and objects of the same name are one. */
export const combine = (pieces: Piece[]): Piece => {
  const all = pieces.reduce<Piece>((sum, piece) => join(sum, piece) ?? sum, {})
  return {
    ...all,
    ...(all.volumes && { volumes: byKey(all.volumes, (v) => v.name) }),
    ...(all.objects && { objects: byKey(all.objects, (o) => `${o.kind}/${o.metadata.name}`) }),
  }
}
export const byKey = <T>(items: T[], key: (item: T) => string): T[] => [
  ...new Map(items.map((i) => [key(i), i])).values(),
]
