/** For tests: a cluster in memory. */
import { systemClock } from '../../lib/clock.ts'
import { openDatabase } from '../../lib/database.ts'
import { silentLog } from '../../lib/log.ts'
import type { ApiServer, User } from '../types.ts'
import { createApiServer, type ServerOptions } from './index.ts'

export const admin: User = { name: 'system:admin', groups: ['system:masters', 'system:authenticated'] }

export const cluster = (
  options: Partial<ServerOptions> = {},
): { api: ApiServer; client: ReturnType<ApiServer['client']> } => {
  const api = createApiServer({
    db: openDatabase(':memory:'),
    clock: systemClock,
    log: silentLog,
    options: { serviceCidr: '10.96.0.0/16', clusterDnsAddress: '10.96.0.10', nodeName: 'node', ...options },
  })
  return { api, client: api.client(admin) }
}
