import type { DatabaseSync } from 'node:sqlite'
import { SlipwayError } from '../../errors.ts'
import { migrate, readTable } from '../../lib/database.ts'
import type { Endpoint, Network } from '../types.ts'

const steps = [
  `CREATE TABLE networks (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, body TEXT NOT NULL) STRICT;
   CREATE TABLE endpoints (
     network_id TEXT NOT NULL REFERENCES networks (id),
     sandbox_id TEXT NOT NULL,
     name TEXT NOT NULL,
     ipv4 TEXT,
     ipv6 TEXT,
     body TEXT NOT NULL,
     PRIMARY KEY (network_id, sandbox_id)
   ) STRICT;
   CREATE UNIQUE INDEX endpoints_ipv4 ON endpoints (network_id, ipv4);
   CREATE UNIQUE INDEX endpoints_ipv6 ON endpoints (network_id, ipv6);
   CREATE INDEX endpoints_sandbox ON endpoints (sandbox_id);`,
]

/** How the subnets came about: picked ones may be picked anew while nobody is on the network. */
export interface StoredNetwork extends Network {
  picked: boolean
  /** Its link, by a name that was asked for, was there before: it stays when the network goes. */
  foundLink?: boolean | undefined
}
interface StoredEndpoint {
  sandboxId: string
  name: string
  endpoint: Endpoint
}

/** Networks and their endpoints, on disk and in memory. */
export const createRecords = (db: DatabaseSync) => {
  migrate(db, 'networks', steps)
  const put = db.prepare(
    'INSERT INTO networks (id, name, body) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body',
  )
  const drop = db.prepare('DELETE FROM networks WHERE id = ?')
  const putEndpoint = db.prepare(
    `INSERT INTO endpoints (network_id, sandbox_id, name, ipv4, ipv6, body) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT (network_id, sandbox_id) DO UPDATE SET name = excluded.name, ipv4 = excluded.ipv4, ipv6 = excluded.ipv6, body = excluded.body`,
  )
  const dropEndpoint = db.prepare('DELETE FROM endpoints WHERE network_id = ? AND sandbox_id = ?')

  const networks = new Map<string, StoredNetwork>()
  /** By network id, then sandbox id. */
  const endpoints = new Map<string, Map<string, StoredEndpoint>>()
  const read = ({ id, body }: Record<string, unknown>): StoredNetwork => {
    const network = JSON.parse(body as string) as StoredNetwork
    if (network.id !== id) throw new SlipwayError('internal', 'is not the record of this network')
    return network
  }
  for (const network of readTable(db, 'networks', ['id'], read)) {
    networks.set(network.id, network)
    endpoints.set(network.id, new Map())
  }
  const stored = readTable(db, 'endpoints', ['network_id', 'sandbox_id'], (row) => ({
    networkId: row.network_id as string,
    sandboxId: row.sandbox_id as string,
    name: row.name as string,
    endpoint: JSON.parse(row.body as string) as Endpoint,
  }))
  for (const { networkId, ...endpoint } of stored) endpoints.get(networkId)?.set(endpoint.sandboxId, endpoint)

  return {
    networks: networks as ReadonlyMap<string, StoredNetwork>,
    endpointsOf: (networkId: string): ReadonlyMap<string, StoredEndpoint> => endpoints.get(networkId) ?? new Map(),
    save(network: StoredNetwork): void {
      put.run(network.id, network.spec.name, JSON.stringify(network))
      networks.set(network.id, network)
      if (!endpoints.has(network.id)) endpoints.set(network.id, new Map())
    },
    delete(networkId: string): void {
      drop.run(networkId)
      networks.delete(networkId)
      endpoints.delete(networkId)
    },
    saveEndpoint(stored: StoredEndpoint): void {
      const { endpoint, sandboxId, name } = stored
      const body = JSON.stringify(endpoint)
      putEndpoint.run(endpoint.networkId, sandboxId, name, endpoint.ipv4 ?? null, endpoint.ipv6 ?? null, body)
      endpoints.get(endpoint.networkId)!.set(sandboxId, stored)
    },
    deleteEndpoint(networkId: string, sandboxId: string): void {
      dropEndpoint.run(networkId, sandboxId)
      endpoints.get(networkId)?.delete(sandboxId)
    },
  }
}
export type Records = ReturnType<typeof createRecords>
