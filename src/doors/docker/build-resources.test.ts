import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildResources } from '../../build/index.ts'
import { limitsIn } from './build-resources.ts'

const of = (values: Record<string, string>) => buildResources((name) => values[name])

test('limits of steps by the names of the frontend', () => {
  assert.deepEqual(of({}), {})
  assert.deepEqual(
    of({ memory: '67108864', 'memory-swap': '-1', 'cpu-shares': '2', 'cpu-period': '1000', 'cpu-quota': '500' }),
    { memory: 67108864, memorySwap: -1, cpuShares: 2, cpuPeriod: 1000, cpuQuota: 500 },
  )
  assert.deepEqual(of({ 'cpuset-cpus': '0-1,3', 'cpuset-mems': '' }), { cpusetCpus: '0-1,3' })
  const refused: [string, string, string][] = [
    ['memory', '0', 'invalid memory value: 0: must be > 0'],
    ['memory-swap', '-2', 'invalid memory-swap value: -2: must be -1 (unlimited) or > 0'],
    ['cpu-quota', 'all', 'invalid cpu-quota value: all: not a number'],
    ['cpuset-cpus', '1-', 'invalid cpuset-cpus value: 1-'],
  ]
  for (const [name, value, message] of refused) assert.throws(() => of({ [name]: value }), { message })
})

test('limits in a query: a number that is 0 is none', () => {
  const query = new URLSearchParams('memory=9&memswap=0&cpushares=0&cpuperiod=0&cpuquota=7&cpusetcpus=0&cpusetmems=')
  assert.deepEqual(limitsIn(query), { memory: '9', 'cpu-quota': '7', 'cpuset-cpus': '0' })
})
