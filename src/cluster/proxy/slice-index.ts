import type { EndpointSlice } from '../../spec/kube/generated/types.ts'
import type { Informer } from '../types.ts'
import { serviceOf } from './plan.ts'

export interface SliceIndex {
  /** Slices of the service "namespace/name". */
  of(key: string): readonly EndpointSlice[]
  all(): Iterable<EndpointSlice>
  close(): void
}

/** EndpointSlices by their service. `onChange` is called with the service's key after each change. */
export const createSliceIndex = (slices: Informer<EndpointSlice>, onChange: (key: string) => void): SliceIndex => {
  const byService = new Map<string, Map<string, EndpointSlice>>()
  const close = slices.on(({ type, object }) => {
    const key = serviceOf(object)
    if (key === undefined) return
    const mine = byService.get(key) ?? new Map<string, EndpointSlice>()
    if (type === 'DELETED') mine.delete(object.metadata.name!)
    else mine.set(object.metadata.name!, object)
    if (mine.size > 0) byService.set(key, mine)
    else byService.delete(key)
    onChange(key)
  })
  return {
    of: (key) => [...(byService.get(key)?.values() ?? [])],
    all: function* () {
      for (const mine of byService.values()) yield* mine.values()
    },
    close,
  }
}

/** Do the slices offer the pod to new connections? */
export const isOffered = (slices: Iterable<EndpointSlice>, podUid: string): boolean => {
  for (const { endpoints = [] } of slices)
    if (endpoints.some(({ targetRef, conditions }) => targetRef?.uid === podUid && conditions?.ready !== false))
      return true
  return false
}
