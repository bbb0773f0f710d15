/** Where pods run, and how they spread. */
import type { Service } from '../../spec/compose/project.ts'
import type { Affinity, NodeSelectorRequirement } from '../../spec/kube/generated/types.ts'
import type { Lowering } from './context.ts'
import type { Piece } from './piece.ts'

export const placement = (service: Service, lowering: Lowering): Piece => {
  const said = service.deploy?.placement
  const requirements = (said?.constraints ?? []).flatMap((text, i) => constraint(service, text, i, lowering))
  const labels = lowering.selector(service.name)
  const nodeSelector = platform(service)
  const affinity: Affinity = {
    ...(requirements.length && {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: requirements }] },
      },
    }),
    ...(said?.max_replicas_per_node === 1 && {
      podAntiAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [
          { labelSelector: { matchLabels: labels }, topologyKey: 'kubernetes.io/hostname' },
        ],
      },
    }),
  }
  if ((said?.max_replicas_per_node ?? 1) > 1)
    lowering.warn(
      service.name,
      'deploy.placement.max_replicas_per_node',
      'only 1 can be said exactly; the replicas are spread evenly',
      'Use 1, or leave it out.',
    )
  const keys = (said?.preferences ?? []).flatMap((p) => (p.spread === undefined ? [] : [topologyKey(p.spread)]))
  const spread = lowering.isScaled(service) ? [...new Set([...keys, 'kubernetes.io/hostname'])] : []
  return {
    pod: {
      ...(Object.keys(nodeSelector).length && { nodeSelector }),
      ...(Object.keys(affinity).length && { affinity }),
      ...(spread.length && {
        topologySpreadConstraints: spread.map((key) => ({
          maxSkew: 1,
          topologyKey: key,
          whenUnsatisfiable: 'ScheduleAnyway',
          labelSelector: { matchLabels: labels },
        })),
      }),
      ...runtimeClass(service, lowering),
    },
  }
}

const platform = (service: Service): Record<string, string> => {
  const [os, arch] = service.platform?.split('/') ?? []
  return { ...(os && { 'kubernetes.io/os': os }), ...(arch && { 'kubernetes.io/arch': arch }) }
}

const runtimeClass = (service: Service, lowering: Lowering): { runtimeClassName?: string } => {
  if (service.isolation !== undefined && service.isolation !== 'default')
    lowering.warn(service.name, 'isolation', 'isolation is for Windows containers', 'Leave it out.')
  if (service.runtime === undefined) return {}
  if (lowering.local) {
    if (!['runc', 'crun'].includes(service.runtime))
      lowering.refuse(
        service.name,
        'runtime',
        `runtime "${service.runtime}" is not available here`,
        'Leave it out, or use runc or crun.',
      )
    return {}
  }
  return { runtimeClassName: service.runtime }
}

const topologyKey = (text: string): string => {
  if (text === 'node.id' || text === 'node.hostname') return 'kubernetes.io/hostname'
  return text.replace(/^(node|engine)\.labels\./, '')
}

/** Swarm's `node.labels.disk==ssd`, `node.role!=manager`, … */
const constraint = (service: Service, text: string, i: number, lowering: Lowering): NodeSelectorRequirement[] => {
  const match = /^\s*([\w./-]+)\s*(==|!=)\s*(.+?)\s*$/.exec(text)
  const path = `deploy.placement.constraints.${i}`
  if (!match) {
    lowering.refuse(service.name, path, `"${text}" cannot be read`, 'Write node.labels.KEY==VALUE.')
    return []
  }
  const [, key = '', operator, value = ''] = match
  const how = operator === '==' ? 'In' : 'NotIn'
  if (key.startsWith('node.labels.')) return [{ key: key.slice(12), operator: how, values: [value] }]
  if (key === 'node.hostname' || key === 'node.id')
    return [{ key: 'kubernetes.io/hostname', operator: how, values: [value] }]
  if (key === 'node.platform.os') return [{ key: 'kubernetes.io/os', operator: how, values: [value] }]
  if (key === 'node.platform.arch')
    return [
      {
        key: 'kubernetes.io/arch',
        operator: how,
        values: [value.replace('x86_64', 'amd64').replace('aarch64', 'arm64')],
      },
    ]
  if (key === 'node.role') {
    const manager = (value === 'manager') === (operator === '==')
    if (lowering.local) return [] // one machine has all roles
    return [{ key: 'node-role.kubernetes.io/control-plane', operator: manager ? 'Exists' : 'DoesNotExist' }]
  }
  lowering.refuse(service.name, path, `"${key}" is not known`, 'Label the nodes and write node.labels.KEY==VALUE.')
  return []
}
