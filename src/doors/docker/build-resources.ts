/** Limits of RUN steps in the query of POST /build. */
import { isCounted } from '../../build/index.ts'

const inQuery: Record<string, string> = {
  ...{ memory: 'memory', 'memory-swap': 'memswap', 'cpu-shares': 'cpushares', 'cpu-period': 'cpuperiod' },
  ...{ 'cpu-quota': 'cpuquota', 'cpuset-cpus': 'cpusetcpus', 'cpuset-mems': 'cpusetmems' },
}

/** What POST /build says of them, by the frontend's names: a number that is 0 is none. */
export const limitsIn = (query: URLSearchParams): Record<string, string> =>
  Object.fromEntries(
    Object.entries(inQuery)
      .map(([name, key]): [string, string] => [name, query.get(key) ?? ''])
      .filter(([name, text]) => text !== '' && !(text === '0' && isCounted(name))),
  )
