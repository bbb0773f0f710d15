/** Engine containers by pod, kept from labels: who belongs to whom, newest try first. */
import type { Container, Containers } from '../../engine/index.ts'
import { attemptOf, isTry } from './tries.ts'
import { label, type Tries } from './types.ts'

export class PodIndex {
  #ids = new Map<string, Set<string>>()
  #containers: Pick<Containers, 'get' | 'list'>

  constructor(containers: Pick<Containers, 'get' | 'list'>) {
    this.#containers = containers
    for (const container of containers.list()) this.add(container)
  }

  add(container: Container): void {
    const uid = container.spec.labels[label.uid]
    if (!uid || !container.spec.labels[label.container]) return
    const ids = this.#ids.get(uid) ?? new Set()
    ids.add(container.id)
    this.#ids.set(uid, ids)
  }

  /** The pod a container belongs to; undefined for containers that are not ours. */
  podOf(containerId: string): string | undefined {
    return this.#containers.get(containerId)?.spec.labels[label.uid]
  }

  pods(): string[] {
    return [...this.#ids.keys()]
  }

  /** Every container of the pod, also those that are only made yet or are being removed. */
  all(uid: string): Container[] {
    const found: Container[] = []
    for (const id of this.#ids.get(uid) ?? []) {
      const container = this.#containers.get(id)
      if (container) found.push(container)
      else this.#ids.get(uid)!.delete(id)
    }
    return found
  }

  tries(uid: string): Map<string, Tries> {
    const byName = new Map<string, Container[]>()
    for (const container of this.all(uid).filter(isTry)) {
      const name = container.spec.labels[label.container]!
      byName.set(name, [...(byName.get(name) ?? []), container])
    }
    for (const list of byName.values()) list.sort((a, b) => attemptOf(b) - attemptOf(a))
    return byName
  }

  forget(uid: string): void {
    this.#ids.delete(uid)
  }
}
