/** Where a person can reach the project, once it runs. */
import type { ObjectClient } from '../../../spec/kube/client.ts'
import type { Ingress } from '../../../spec/kube/generated/types.ts'
import * as kinds from '../../../spec/kube/kinds.ts'
import { hostIpAnnotation } from '../../../spec/kube/runtime-annotation.ts'
import { selectorOf, serviceLabel } from './labels.ts'

interface Address {
  service: string
  url: string
}

const webPorts = new Set(['http', 'https', ''])

/** `local`: this machine's own name is the address. A cluster that has not given a load balancer an address yet has none. */
export const addressesOf = async (client: ObjectClient, project: string, local: boolean): Promise<Address[]> => {
  const labels = selectorOf(project)
  const [services, ingresses] = await Promise.all([
    client.list(kinds.Service, { labels }),
    client.list(kinds.Ingress, { labels }),
  ])
  const published = services.items
    .filter((s) => s.spec?.type === 'LoadBalancer')
    .flatMap((s) =>
      (s.spec?.ports ?? []).flatMap((p) => {
        const bound = s.metadata.annotations?.[hostIpAnnotation]
        const outside = s.status?.loadBalancer?.ingress?.[0]
        const host = bound ?? (local ? 'localhost' : outside?.hostname || outside?.ip)
        if (!host) return []
        const scheme =
          p.protocol === 'UDP'
            ? 'udp'
            : p.port === 443
              ? 'https'
              : webPorts.has(p.appProtocol ?? '')
                ? 'http'
                : p.appProtocol
        return [
          { service: s.metadata.labels?.[serviceLabel] ?? s.metadata.name!, url: `${scheme}://${host}:${p.port}` },
        ]
      }),
    )
  const routed = ingresses.items.flatMap((i) =>
    (i.spec?.rules ?? [])
      .filter((r) => r.host)
      .map((r) => ({
        service: i.metadata.labels?.[serviceLabel] ?? i.metadata.name!,
        url: ingressUrl(i, r.host!),
      })),
  )
  return [...published, ...routed]
}

/** Where 80 and 443 were taken, the ingress listens elsewhere and says so in its status: HTTP first, then HTTPS. */
const ingressUrl = (ingress: Ingress, host: string): string => {
  const secure = ingress.spec?.tls?.some((t) => t.hosts?.includes(host)) ?? false
  const port = ingress.status?.loadBalancer?.ingress?.[0]?.ports?.[secure ? 1 : 0]?.port
  const usual = port === undefined || port === (secure ? 443 : 80)
  return `${secure ? 'https' : 'http'}://${host}${usual ? '' : `:${port}`}`
}
