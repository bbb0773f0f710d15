/** Sets of completion indexes as Kubernetes writes them: "1,3-5,7". Source: pkg/controller/job/indexed_job_utils.go. */
import type { Pod } from '../../../spec/kube/generated/types.ts'

export const indexKey = 'batch.kubernetes.io/job-completion-index'

/** The index of a pod of an Indexed job. */
export const indexOf = (pod: Pod): number | undefined => {
  const text = pod.metadata.annotations?.[indexKey] ?? pod.metadata.labels?.[indexKey]
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined
}

export const parseIndexes = (text: string | undefined): Set<number> => {
  const indexes = new Set<number>()
  for (const part of (text ?? '').split(',').filter(Boolean)) {
    const [first, last = first] = part.split('-').map(Number)
    for (let i = first!; i <= last!; i++) indexes.add(i)
  }
  return indexes
}

export const formatIndexes = (indexes: Iterable<number>): string => {
  const sorted = [...new Set(indexes)].sort((a, b) => a - b)
  const parts: string[] = []
  for (let i = 0; i < sorted.length; ) {
    let end = i
    while (sorted[end + 1] === sorted[end]! + 1) end++
    parts.push(end === i ? `${sorted[i]}` : `${sorted[i]}-${sorted[end]}`)
    i = end + 1
  }
  return parts.join(',')
}
