/** Where a person can reach the project, once it runs. */
import type { ObjectClient } from '../../../spec/kube/client.ts'
import * as kinds from '../../../spec/kube/kinds.ts'
import { hostIpAnnotation } from '../../../spec/kube/runtime-annotation.ts'
import { selectorOf, serviceLabel } from './labels.ts'

interface Address {
  service: string
  url: string
}

const webPorts = new Set(['http', 'https', ''])

export const addressesOf = async (client: ObjectClient, project: string): Promise<Address[]> => {
  const labels = selectorOf(project)
  const [services, ingresses] = await Promise.all([
    client.list(kinds.Service, { labels }),
    client.list(kinds.Ingress, { labels }),
  ])
  const published = services.items
    .filter((s) => s.spec?.type === 'LoadBalancer')
    .flatMap((s) =>
      (s.spec?.ports ?? []).map((p) => {
        const bound = s.metadata.annotations?.[hostIpAnnotation]
        const outside = s.status?.loadBalancer?.ingress?.[0]
        const host = bound ?? (outside?.hostname || undefined) ?? 'localhost'
        const scheme =
          p.protocol === 'UDP'
            ? 'udp'
            : p.port === 443
              ? 'https'
              : webPorts.has(p.appProtocol ?? '')
                ? 'http'
                : p.appProtocol
        return { service: s.metadata.labels?.[serviceLabel] ?? s.metadata.name!, url: `${scheme}://${host}:${p.port}` }
      }),
    )
  const routed = ingresses.items.flatMap((i) =>
    (i.spec?.rules ?? [])
      .filter((r) => r.host)
      .map((r) => ({
        service: i.metadata.labels?.[serviceLabel] ?? i.metadata.name!,
        url: `${i.spec?.tls?.some((t) => t.hosts?.includes(r.host!)) ? 'https' : 'http'}://${r.host}`,
      })),
  )
  return [...published, ...routed]
}
