import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ProgressLog } from './progress.ts'

const collect = async (log: ProgressLog) => {
  const all = []
  for await (const status of log.follow(new AbortController().signal)) all.push(status)
  return {
    vertexes: all.flatMap((s) => s.vertexes ?? []),
    statuses: all.flatMap((s) => s.statuses ?? []),
    logs: all.flatMap((s) => s.logs ?? []),
    warnings: all.flatMap((s) => s.warnings ?? []),
  }
}

test('each message about a vertex has all that is known; whoever comes late hears everything', async () => {
  const log = new ProgressLog('build', () => 5000)
  const early = collect(log)
  log.emit({ type: 'vertex', id: 'a', name: '[1/2] RUN x' })
  log.emit({ type: 'started', id: 'a', time: 1000 })
  log.emit({ type: 'status', id: 'a', name: 'transferring context', current: 7 })
  log.emit({ type: 'log', id: 'a', stream: 'stderr', data: Buffer.from('out') })
  log.emit({ type: 'done', id: 'a', time: 2500, cached: false, error: 'broken' })
  log.end()
  for (const { vertexes, statuses, logs } of [await early, await collect(log)]) {
    const last = vertexes.at(-1)!
    assert.match(last.digest!, /^sha256:[0-9a-f]{64}$/)
    assert.deepEqual([last.name, last.error], ['[1/2] RUN x', 'broken'])
    assert.deepEqual(last.started, { seconds: 1, nanos: 0 })
    assert.deepEqual(last.completed, { seconds: 2, nanos: 500_000_000 })
    assert.deepEqual(
      statuses.map(({ ID, current, completed }) => [ID, current, completed !== undefined]),
      [
        ['transferring context:', 7, false],
        ['transferring context:', 7, true],
      ],
    )
    assert.deepEqual([logs[0]!.stream, logs[0]!.vertex], [2, last.digest])
  }
})

test('a warning carries the text it is about, where it is known', async () => {
  const log = new ProgressLog('build', () => 0)
  log.source = (file) => (file === 'Dockerfile' ? Buffer.from('from x') : undefined)
  const at = { file: 'Dockerfile', line: 3 }
  log.emit({ type: 'vertex', id: 'd', name: '[internal] load build definition from Dockerfile' })
  log.emit({ type: 'vertex', id: 'other', name: 'other' })
  log.emit({
    ...{ type: 'warning', rule: 'Rule', description: 'about', message: 'hm', url: 'https://rule', at },
    ...{ endLine: 5, source: '' },
  })
  log.end()
  const { warnings, vertexes } = await collect(log)
  assert.equal(warnings[0]!.short!.toString(), 'Rule: hm (line 3)')
  assert.equal(warnings[0]!.info!.data!.toString(), 'from x')
  assert.equal(warnings[0]!.info!.language, 'Dockerfile')
  assert.deepEqual(warnings[0]!.ranges, [{ start: { line: 3 }, end: { line: 5 } }])
  assert.equal(warnings[0]!.vertex, vertexes[0]!.digest)
})

test('output that nobody fetches is dropped, the rest is not', async () => {
  const log = new ProgressLog('build', () => 0)
  log.emit({ type: 'vertex', id: 'a', name: 'a' })
  for (let i = 0; i < 40; i++) log.emit({ type: 'log', id: 'a', stream: 'stdout', data: Buffer.alloc(1024 * 1024) })
  log.end()
  const { vertexes, logs } = await collect(log)
  assert.equal(vertexes.length, 1)
  assert.ok(logs.length >= 10 && logs.length <= 18, String(logs.length))
})

test('what begins and ends in one millisecond keeps its order, and ends not before it has begun', async () => {
  const log = new ProgressLog('build', () => 1000)
  for (const id of ['a', 'b']) {
    log.emit({ type: 'vertex', id, name: id })
    log.emit({ type: 'started', id, time: 1000 })
    log.emit({ type: 'done', id, time: 1000, cached: false })
  }
  log.end()
  const { vertexes } = await collect(log)
  const [a, b] = ['a', 'b'].map((name) => vertexes.findLast((vertex) => vertex.name === name)!)
  assert.ok(b!.started!.nanos! > a!.started!.nanos!)
  assert.deepEqual(b!.completed, b!.started)
})
