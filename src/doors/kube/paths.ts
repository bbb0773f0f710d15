/** What a URL path addresses (k8s.io/apiserver's RequestInfo). */
export type Target =
  | {
      kind: 'resource'
      group: string
      version: string
      namespace?: string | undefined
      resource: string
      name?: string | undefined
      subresource?: string | undefined
      /** What follows the subresource: the path a proxy subresource forwards to. */
      rest: string[]
      /** The old /watch/ prefix. */
      watch: boolean
    }
  | { kind: 'other'; path: string }

const decode = (part: string): string => {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

/** Splits `/api/v1/…` and `/apis/GROUP/VERSION/…`; anything else, and paths that end before a resource, are 'other'. */
export const parsePath = (path: string): Target => {
  const parts = path.split('/').filter(Boolean).map(decode)
  const legacy = parts[0] === 'api'
  if (!legacy && parts[0] !== 'apis') return { kind: 'other', path }
  const [group, version] = legacy ? ['', parts[1]] : [parts[1], parts[2]]
  let rest = parts.slice(legacy ? 2 : 3)
  const watch = rest[0] === 'watch' && rest.length > 1
  if (watch) rest = rest.slice(1)
  if (group === undefined || !version || rest.length === 0) return { kind: 'other', path }
  let namespace: string | undefined
  // /namespaces/NS is the namespace itself, /namespaces/NS/status its subresource, anything longer lives in it.
  if (
    rest[0] === 'namespaces' &&
    rest.length > 2 &&
    !(rest.length === 3 && ['status', 'finalize'].includes(rest[2]!))
  ) {
    namespace = rest[1]
    rest = rest.slice(2)
  }
  const [resource, name, subresource, ...more] = rest
  return { kind: 'resource', group, version, namespace, resource: resource!, name, subresource, rest: more, watch }
}
