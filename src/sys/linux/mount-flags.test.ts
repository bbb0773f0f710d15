import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ioStatV1, ioStatV2, limit, statsV1, statsV2 } from './cgroup-files.ts'
import { hierarchies } from './cgroups.ts'
import { MS, parseMountInfo, parseOptions } from './mount-flags.ts'

test('option words become flags, propagation and data', () => {
  assert.deepEqual(parseOptions(['rbind', 'ro', 'nosuid', 'rslave', 'rro', 'size=1m', 'mode=755']), {
    flags: MS.bind | MS.rec | MS.rdonly | MS.nosuid,
    propagation: [MS.slave | MS.rec],
    recursiveReadOnly: true,
    data: ['size=1m', 'mode=755'],
  })
  assert.equal(parseOptions(['ro', 'rw', 'nodev', 'dev', 'defaults']).flags, 0)
})

test('mountinfo with optional fields and escaped blanks', () => {
  const text = [
    '36 35 98:0 /mnt1 /with\\040blank rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=continue',
    '37 35 0:5 / /proc rw - proc proc rw',
    'torn',
  ].join('\n')
  assert.deepEqual(parseMountInfo(text), [
    {
      target: '/with blank',
      type: 'ext3',
      source: '/dev/root',
      options: 'rw,noatime,rw,errors=continue',
      shared: true,
    },
    { target: '/proc', type: 'proc', source: 'proc', options: 'rw,rw', shared: false },
  ])
})

const line = (target: string, type: string, options: string): string =>
  `1 1 0:1 / ${target} rw - ${type} ${type} rw${options && `,${options}`}`

test('cgroup layouts', () => {
  assert.equal(hierarchies(line('/sys/fs/cgroup', 'cgroup2', '')).layout, 'v2')
  const v1 = hierarchies(
    [
      line('/sys/fs/cgroup/cpu,cpuacct', 'cgroup', 'cpu,cpuacct'),
      line('/sys/fs/cgroup/memory', 'cgroup', 'memory'),
    ].join('\n'),
  )
  assert.equal(v1.layout, 'v1')
  assert.equal(v1.controllers.get('cpuacct'), '/sys/fs/cgroup/cpu,cpuacct')
  assert.equal(v1.roots.length, 2)
  const both = [line('/sys/fs/cgroup/pids', 'cgroup', 'pids'), line('/sys/fs/cgroup/unified', 'cgroup2', '')].join('\n')
  assert.equal(hierarchies(both).layout, 'hybrid')
})

test('cgroup figures', () => {
  assert.equal(limit('max\n'), undefined)
  assert.equal(limit('9223372036854771712\n'), undefined)
  assert.equal(limit('4096\n'), 4096)
  assert.deepEqual(ioStatV2('8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n'), [
    { major: 8, minor: 0, readBytes: 1, writeBytes: 2, reads: 3, writes: 4 },
  ])
  assert.deepEqual(ioStatV1('8:0 Read 1\n8:0 Write 2\n8:0 Total 3\nTotal 3\n', '8:0 Read 5\n'), [
    { major: 8, minor: 0, readBytes: 1, writeBytes: 2, reads: 5, writes: 0 },
  ])
  const two: Record<string, string> = {
    'cpu.stat': 'usage_usec 10\nuser_usec 4\nsystem_usec 6\nnr_periods 3\nnr_throttled 1\nthrottled_usec 7\n',
    'memory.current': '1000\n',
    'memory.stat': 'anon 5\ninactive_file 400\n',
    'memory.max': 'max\n',
    'pids.current': '2\n',
    'pids.max': '50\n',
  }
  const stats = statsV2((_, file) => two[file])
  assert.deepEqual(
    [stats.cpuUsageNs, stats.throttledNs, stats.memoryWorkingSetBytes, stats.memoryLimitBytes, stats.pidsLimit],
    [10_000, 7000, 600, undefined, 50],
  )
  const one: Record<string, string> = {
    'cpuacct.usage': '77\n',
    'cpuacct.stat': 'user 2\nsystem 3\n',
    'memory.usage_in_bytes': '900\n',
    'memory.stat': 'total_inactive_file 1000\n',
  }
  const old = statsV1((_, file) => one[file])
  assert.deepEqual([old.cpuUsageNs, old.cpuSystemNs, old.memoryWorkingSetBytes], [77, 30_000_000, 0])
})
