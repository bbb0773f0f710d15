import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createNameTable } from './table.ts'

test('names count on shared networks only, and several sandboxes may answer to one', () => {
  const table = createNameTable()
  const on = (networkId: string, sandboxId: string, ipv4: string, names: string[]) =>
    table.join({ networkId, networkName: `${networkId}net`, sandboxId, names, ipv4 })
  on('a', 'asker', '10.0.0.9', ['asker'])
  on('a', 's1', '10.0.0.1', ['web-1', 'web'])
  on('a', 's2', '10.0.0.2', ['web-2', 'web'])
  on('b', 's3', '10.1.0.1', ['db'])

  const web = table.find('asker', 'web', 4)
  assert.deepEqual(web?.kind === 'addresses' && web.addresses.toSorted(), ['10.0.0.1', '10.0.0.2'])
  assert.notDeepEqual(table.find('asker', 'web', 4), web, 'they take turns')
  assert.deepEqual(table.find('asker', 'web', 6), { kind: 'addresses', addresses: [] })
  assert.equal(table.find('asker', 'db', 4), undefined)
  assert.deepEqual(table.find('asker', 'web-1.anet', 4), { kind: 'addresses', addresses: ['10.0.0.1'] })
  assert.deepEqual(table.reverse('asker', '1.0.0.10.in-addr.arpa'), { kind: 'name', name: 'web-1.anet' })
  assert.equal(table.reverse('s3', '1.0.0.10.in-addr.arpa'), undefined)

  on('a', 's1', '10.0.0.1', ['renamed'])
  assert.deepEqual(table.find('asker', 'web', 4), { kind: 'addresses', addresses: ['10.0.0.2'] })
  table.leave('a', 's2')
  assert.equal(table.find('asker', 'web', 4), undefined)
  assert.equal(table.find('s2', 'asker', 4), undefined)
})
