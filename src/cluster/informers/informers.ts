import { type Clock, systemClock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { ObjectClient } from '../../spec/kube/client.ts'
import type { Informer, Informers } from '../types.ts'
import { KeptList } from './kept-list.ts'

/** One informer a kind, started when first asked for and shared by all who ask. `close` ends their watches. */
export const createInformers = (client: ObjectClient, log: Log, clock: Clock = systemClock): Informers => {
  const kept = new Map<string, unknown>()
  const end = new AbortController()
  return {
    of(kind) {
      const id = `${kind.group}/${kind.version}/${kind.plural}`
      const known = kept.get(id) as Informer<never> | undefined
      if (known) return known
      const list = new KeptList({ client, kind, log, clock, signal: end.signal })
      kept.set(id, list)
      list.start()
      return list as never
    },
    close: () => end.abort(),
  }
}
