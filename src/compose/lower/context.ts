/** What every part of the lowering needs to know, and where it reports what cannot be said. */
import { SlipwayError } from '../../errors.ts'
import { type Project, positionOf, type Service } from '../../spec/compose/project.ts'
import { apiVersionOf, type Kind, type KubeObject } from '../../spec/kube/kinds.ts'
import type { ImageProcessConfig } from '../../spec/oci/index.ts'
import type { Loss, LowerOptions } from '../types.ts'
import { contentHash, dnsLabel, hashedLabel, labelValue, serviceName } from './names.ts'

type AnyKind = Pick<Kind, 'group' | 'version' | 'kind' | 'namespaced'>

export class Lowering {
  readonly project: Project
  readonly options: LowerOptions
  readonly namespace: string
  readonly local: boolean
  readonly losses: Loss[] = []

  constructor(project: Project, options: LowerOptions) {
    this.project = project
    this.options = options
    this.namespace = dnsLabel(project.name)
    this.local = options.destination === 'local'
    this.#refuseCollisions()
  }

  /** Name of the workload and of the Service of a Compose service. */
  nameOf(service: string): string {
    return serviceName(service)
  }

  image(service: Service): { reference: string; config?: ImageProcessConfig | undefined } {
    const known = this.options.images[service.name]
    return known ?? { reference: service.image ?? `${this.project.name}-${service.name}` }
  }

  replicas(service: Service): number {
    return this.options.scale?.[service.name] ?? service.scale ?? service.deploy?.replicas ?? 1
  }

  /** Several instances at once, now or by autoscaling? */
  isScaled(service: Service): boolean {
    return this.replicas(service) > 1 || service['x-slipway']?.autoscale !== undefined
  }

  loss(severity: Loss['severity'], service: string | undefined, path: string, message: string, hint: string): void {
    const full = service === undefined ? path : `services.${service}.${path}`
    const at = positionOf(this.project, full)
    this.losses.push({
      ...(service !== undefined && { service }),
      path: full,
      severity,
      message,
      hint,
      ...(at && { at }),
    })
  }
  warn(service: string | undefined, path: string, message: string, hint: string): void {
    this.loss('warn', service, path, message, hint)
  }
  refuse(service: string | undefined, path: string, message: string, hint: string): void {
    this.loss('refuse', service, path, message, hint)
  }
  /** Something that only our own nodes can do: nothing is lost here, a loss elsewhere. */
  onlyHere(service: string, path: string, message: string, hint: string, severity: Loss['severity'] = 'warn'): void {
    if (!this.local) this.loss(severity, service, path, message, hint)
  }

  labels(service?: string): Record<string, string> {
    const project = labelValue(this.project.name)
    return {
      ...(service !== undefined && { 'app.kubernetes.io/name': labelValue(service) }),
      'app.kubernetes.io/instance': project,
      'app.kubernetes.io/part-of': project,
      'app.kubernetes.io/managed-by': 'slipway',
      ...(service !== undefined && { 'app.kubernetes.io/component': labelValue(service) }),
      'slipway.dev/project': project,
      'com.docker.compose.project': project,
      ...(service !== undefined && { 'com.docker.compose.service': labelValue(service) }),
    }
  }
  /** Never changes in the life of a workload. */
  selector(service: string): Record<string, string> {
    return {
      'app.kubernetes.io/name': labelValue(service),
      'app.kubernetes.io/instance': labelValue(this.project.name),
    }
  }

  /** An object of this project; absent fields are left out. */
  object(
    kind: AnyKind,
    name: string,
    body: Record<string, unknown>,
    more: { service?: string | undefined; annotations?: Record<string, string>; labels?: Record<string, string> } = {},
  ): KubeObject {
    const metadata = {
      name,
      ...(kind.namespaced && { namespace: this.namespace }),
      labels: { ...this.labels(more.service), ...more.labels },
      ...(more.annotations && Object.keys(more.annotations).length && { annotations: more.annotations }),
    }
    return JSON.parse(
      JSON.stringify({ apiVersion: apiVersionOf(kind), kind: kind.kind, metadata, ...body }),
    ) as KubeObject
  }

  /** An immutable object named after its content, so that a change is a new object and the old one stays for undo. */
  hashed(
    kind: AnyKind,
    base: string,
    body: Record<string, unknown>,
    service?: string,
    annotations: Record<string, string> = {},
  ): KubeObject {
    const hash = contentHash(body)
    return this.object(
      kind,
      `${dnsLabel(base, 240)}-${hash}`,
      { ...body, immutable: true },
      { service, annotations, labels: { [hashedLabel]: hash } },
    )
  }

  #refuseCollisions(): void {
    const taken = new Map<string, string>()
    for (const name of Object.keys(this.project.services)) {
      const object = this.nameOf(name)
      const other = taken.get(object)
      if (other)
        throw new SlipwayError(
          'conflict',
          `services "${other}" and "${name}" both need the name "${object}" in Kubernetes`,
          {
            hint: 'Kubernetes names have small letters, digits and dashes only. Rename one of the services.',
            at: positionOf(this.project, `services.${name}`),
          },
        )
      taken.set(object, name)
    }
  }
}
