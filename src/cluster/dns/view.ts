import { EndpointSlice as EndpointSlices, Namespace, Service as Services } from '../../spec/kube/kinds.ts'
import { createSliceIndex } from '../proxy/index.ts'
import type { Informers } from '../types.ts'
import { isHeadless, placesOf, type ZoneView } from './zone.ts'

interface KeptView extends ZoneView {
  synced: Promise<unknown>
  close(): void
}

/** The zone's view of the informers, with indexes of what they cannot be asked for. */
export const createView = (informers: Informers, domain: string): KeptView => {
  const services = informers.of(Services)
  const slices = informers.of(EndpointSlices)
  const namespaces = informers.of(Namespace)
  /** Made when first asked for after a change. */
  let pointers: Map<string, string> | undefined

  const index = createSliceIndex(slices, () => (pointers = undefined))
  const stops = [index.close, services.on(() => (pointers = undefined))]
  const makePointers = (): Map<string, string> => {
    const made = new Map<string, string>()
    for (const service of services.list()) {
      const { namespace = '', name = '' } = service.metadata
      const base = `${name}.${namespace}.svc.${domain}`
      if (isHeadless(service))
        for (const place of placesOf(service, index.of(`${namespace}/${name}`)))
          made.set(place.address, `${place.name}.${base}`)
      else for (const address of service.spec?.clusterIPs ?? []) made.set(address, base)
    }
    return made
  }
  return {
    service: (namespace, name) => services.get(namespace, name),
    slices: (namespace, name) => index.of(`${namespace}/${name}`),
    hasNamespace: (name) => namespaces.get(undefined, name) !== undefined,
    pointer: (address) => (pointers ??= makePointers()).get(address),
    synced: Promise.all([services.synced, slices.synced, namespaces.synced]),
    close: () => {
      for (const stop of stops) stop()
    },
  }
}
