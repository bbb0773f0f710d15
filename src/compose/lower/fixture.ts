/** For tests: files lowered, and the parts of the result. */
import type { Container, Pod, Probe } from '../../spec/kube/generated/types.ts'
import type { KubeObject } from '../../spec/kube/kinds.ts'
import { type PodRuntime, runtimeAnnotation } from '../../spec/kube/runtime-annotation.ts'
import { loadFiles } from '../load/fixture.ts'
import type { LowerOptions, LowerResult } from '../types.ts'
import { lower } from './lower.ts'

interface Lowered extends LowerResult {
  // biome-ignore lint/suspicious/noExplicitAny: tests look into the specs of all kinds
  get(kind: string, name: string): KubeObject & { spec: Record<string, any> }
  names(kind: string): string[]
  pod(service: string): NonNullable<Pod['spec']>
  container(service: string): Container
  runtime(service: string): PodRuntime
  /** "severity path: message" */
  said: string[]
}

const workloads = ['Deployment', 'StatefulSet', 'DaemonSet', 'Job']

export const lowerFiles = async (
  yaml: string,
  options: Partial<LowerOptions> & { files?: Record<string, string>; environment?: Record<string, string> } = {},
): Promise<Lowered> => {
  const { files, environment, ...rest } = options
  const { project } = await loadFiles({ 'compose.yaml': yaml, ...files }, { environment: environment ?? {} })
  const result = lower(project, { destination: 'local', images: {}, ...rest })
  const find = (kinds: string[], name: string): KubeObject => {
    const found = result.objects.find((o) => kinds.includes(o.kind!) && o.metadata.name === name)
    if (!found)
      throw new Error(
        `no ${kinds.join(' or ')} ${name}: ${result.objects.map((o) => `${o.kind}/${o.metadata.name}`).join(' ')}`,
      )
    return found
  }
  const template = (service: string) => (find(workloads, service).spec as { template: Required<Pod> }).template
  return {
    ...result,
    get: (kind, name) => find([kind], name) as ReturnType<Lowered['get']>,
    names: (kind) => result.objects.filter((o) => o.kind === kind).map((o) => o.metadata.name!),
    pod: (service) => template(service).spec!,
    container: (service) => template(service).spec!.containers[0]!,
    runtime: (service) => JSON.parse(template(service).metadata.annotations![runtimeAnnotation]!) as PodRuntime,
    said: result.losses.map((l) => `${l.severity} ${l.path}: ${l.message}`),
  }
}

/** The service `web` alone, with these attributes. */
export const lowerWeb = (
  yaml: string,
  options: Parameters<typeof lowerFiles>[1] & { also?: string } = {},
): Promise<Lowered> => {
  const { also = '', ...rest } = options
  const body = (yaml.includes('image:') ? yaml : `image: web\n${yaml}`).replace(/^(?=.)/gm, '    ')
  return lowerFiles(`services:\n  web:\n${body}\n${also}`, rest)
}

export const timing = (probe: Probe | undefined): string =>
  probe ? `${probe.periodSeconds}/${probe.timeoutSeconds}/${probe.failureThreshold}` : 'none'
