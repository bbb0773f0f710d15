/** What is performed again, and what is not. */
import assert from 'node:assert/strict'
import { chmodSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type BuildRequest, createBuilder } from '../../src/build/index.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { openDatabase } from '../../src/lib/database.ts'
import { createLog } from '../../src/lib/log.ts'
import type { BuildRoom, Outcome } from './build-room.ts'
import { openBuildRoom } from './build-room.ts'

let room: BuildRoom
before(async () => {
  room = await openBuildRoom()
})
after(() => room?.close())

const request = (dockerfile: string): BuildRequest => ({
  ...{ context: { none: true }, dockerfile: { inline: dockerfile }, args: {}, labels: {}, tags: [] },
  progress: () => {},
})

/** Steps that were performed, by their text. */
const performed = (result: Outcome): string[] =>
  result.performed
    .filter((name) => !name.startsWith('[internal]') && name !== 'exporting to image')
    .map((name) => name.replace(/^\[.*?\] /, ''))

test('the same build again is the same image, and no step of it runs', async () => {
  const text =
    'FROM base:1 AS one\nWORKDIR /w\nCOPY . .\nRUN echo $RANDOM > r\nFROM base:1\nCOPY --from=one /w/r /r\nCMD ["sh"]'
  const directory = room.context({ a: 'A' })
  const first = await room.build(text, { context: { directory }, tags: ['again'] })
  const second = await room.build(text, { context: { directory }, tags: ['again'] })
  assert.deepEqual([second.image.id, second.changed, performed(second)], [first.image.id, false, []])
  assert.equal(first.changed, true)
})

test('touched files do not count; content, mode and names do', async () => {
  const text = 'FROM base:1\nCOPY d /d/\nRUN ls /d'
  const directory = room.context({ 'd/a': 'A', other: '' })
  const build = async (): Promise<string[]> => performed(await room.build(text, { context: { directory } }))
  assert.deepEqual(await build(), ['COPY d /d/', 'RUN ls /d'])
  utimesSync(join(directory, 'd/a'), 5, 5)
  writeFileSync(join(directory, 'other'), 'not copied')
  assert.deepEqual(await build(), [])
  writeFileSync(join(directory, 'd/a'), 'B')
  assert.deepEqual(await build(), ['COPY d /d/', 'RUN ls /d'])
  writeFileSync(join(directory, 'd/a'), 'A')
  assert.deepEqual(await build(), [], 'as it was once')
  chmodSync(join(directory, 'd/a'), 0o600)
  assert.equal((await build()).length, 2)
  chmodSync(join(directory, 'd/a'), 0o644)
  writeFileSync(join(directory, 'd/new'), '')
  assert.equal((await build()).length, 2)
})

test('a stage that changes without changing what is copied from it stops there', async () => {
  const text = (comment: string): string =>
    `FROM base:1 AS b\nRUN echo ${comment} > /log; echo same > /out\nFROM base:1\nCOPY --from=b /out /out\nRUN cat /out`
  await room.build(text('one'))
  assert.deepEqual(performed(await room.build(text('two'))), ['RUN echo two > /log; echo same > /out'])
  assert.deepEqual(performed(await room.build(text('two'))), [])
})

test('ARG and ENV count where RUN sees them; an unused build argument does not', async () => {
  const text = 'FROM base:1\nRUN before\nARG V\nRUN echo $V'.replace('before', 'true')
  await room.build(text, { args: { V: '1' } })
  assert.deepEqual(performed(await room.build(text, { args: { V: '2' } })), ['RUN echo 2'])
  assert.deepEqual(performed(await room.build(text, { args: { V: '2', OTHER: 'x' } })), [])
})

test('secrets and proxies leave no trace and no key', async () => {
  const text =
    'FROM base:1\nRUN --mount=type=secret,id=t,env=T --mount=type=secret,id=t cat /run/secrets/t; echo "$T $HTTP_PROXY"; stat -c "%a %u" /run/secrets/t'
  const secret = (value: string) => ({ secrets: { t: { value: Buffer.from(value) } } })
  const first = await room.build(text, { ...secret('hush'), args: { HTTP_PROXY: 'p1' } })
  assert.match(first.text, /hushhush p1[\s\S]*400 0/)
  const again = await room.build(text, { ...secret('other'), args: { http_proxy: 'p2' } })
  assert.deepEqual(performed(again), [])
  assert.ok(!JSON.stringify(first.image.config).match(/hush|p1/), 'nor in the configuration')
  await room.rootfs(first, (root) =>
    assert.deepEqual(readdirSync(join(root)).includes('run'), false, 'no mount point stays'),
  )
  await assert.rejects(
    room.build('FROM base:1\nRUN --mount=type=secret,id=gone,required true'),
    /secret gone: not found/,
  )
  await room.build('FROM base:1\nRUN --mount=type=secret,id=gone true')
})

test('cache mounts: kept, shared by id, never a reason to run again', async () => {
  const run = (line: string): string => `FROM base:1\nRUN --mount=type=cache,id=k,target=/c,uid=3,mode=0711 ${line}`
  await room.build(run('echo one > /c/f; stat -c "%a %u" /c'))
  const second = await room.build(run('cat /c/f && echo two >> /c/f'))
  assert.match(second.text, / one\n/)
  assert.deepEqual(performed(await room.build(run('cat /c/f && echo two >> /c/f'))), [])
  // Another owner has a directory of its own; without a cache it is a new one, once a build.
  const other = 'FROM base:1\nRUN --mount=type=cache,id=k,target=/c,uid=4'
  assert.match((await room.build(`${other} ls /c && stat -c "owner %u" /c && touch /c/g`)).text, /\n.* owner 4\n/)
  const twice = `${other} ls /c; touch /c/1\nRUN --mount=type=cache,id=k,target=/c,uid=4 echo "left: $(ls /c)"`
  assert.match((await room.build(twice, { noCache: true })).text, / left: 1\n/)
  assert.match((await room.build(`${run('cat /c/f')}; true`, { noCache: true })).text, /No such file/)
  const seeded = await room.build(
    'FROM base:1 AS s\nRUN mkdir /seed && echo seed > /seed/x\nFROM base:1\nRUN --mount=type=cache,id=fresh,from=s,source=/seed,target=/c cat /c/x',
  )
  assert.match(seeded.text, / seed\n/)
  await room.rootfs(second, (root) => assert.ok(!readdirSync(root).includes('c')))
})

test('bind mounts: read-only, writes discarded, keyed by what is bound', async () => {
  const directory = room.context({ 'd/a': 'A', 'd/.x': '', o: 'O', '.dockerignore': 'd/.x' })
  const text =
    'FROM base:1\nRUN --mount=source=d,target=/m --mount=source=o,target=/o ls -A /m && cat /o && ! touch /m/n\nRUN --mount=source=d,target=/m,rw touch /m/n && ls /m'
  const first = await room.build(text, { context: { directory } })
  assert.match(first.text, / a\n[\s\S]*O/)
  assert.doesNotMatch(first.text, / \.x\n/)
  assert.deepEqual(readdirSync(join(directory, 'd')).sort(), ['.x', 'a'])
  writeFileSync(join(directory, 'o'), 'P')
  assert.equal(
    performed(await room.build(text, { context: { directory } })).filter((name) => name.startsWith('RUN')).length,
    2,
  )
  await assert.rejects(
    room.build('FROM base:1\nRUN --mount=source=none,target=/m true', { context: { directory } }),
    /"\/none": not found/,
  )
  const stage = await room.build(
    'FROM base:1 AS s\nRUN mkdir /q && echo Q > /q/f\nFROM base:1\nRUN --mount=from=s,source=/q,target=/m,rw cat /m/f && rm /m/f',
  )
  assert.match(stage.text, / Q\n/)
})

test('--no-cache and --no-cache-filter', async () => {
  const text =
    'FROM base:1 AS one\nRUN date +%N > /n\nFROM one AS two\nRUN cat /n\nFROM base:1\nCOPY --from=two /n /n\nRUN true'
  await room.build(text)
  assert.equal(performed(await room.build(text, { noCache: true })).length, 4)
  const filtered = await room.build(text, { noCacheFilter: ['one'] })
  assert.deepEqual(
    performed(filtered).slice(0, 2),
    ['RUN date +%N > /n', 'RUN cat /n'],
    'what is built on it is stale too',
  )
  assert.deepEqual(performed(await room.build(text)), [], 'the new results are the cache now')
})

test('HEALTHCHECK, ONBUILD and labels make another image without performing anything', async () => {
  const base = await room.build('FROM base:1\nRUN echo base')
  for (const line of ['HEALTHCHECK CMD true', 'ONBUILD RUN x', 'LABEL a=b']) {
    const other = await room.build(`FROM base:1\nRUN echo base\n${line}`)
    assert.notEqual(other.image.id, base.image.id, line)
    assert.deepEqual(performed(other), [])
  }
  assert.notEqual((await room.build('FROM base:1\nRUN echo base', { labels: { x: 'y' } })).image.id, base.image.id)
})

test('FROM scratch with nothing but metadata is an image of its own, the same every time', async () => {
  const one = await room.build('FROM scratch\nENV a=1')
  const two = await room.build('FROM scratch\nENV a=2')
  assert.notEqual(one.image.id, two.image.id)
  assert.equal((await room.build('FROM scratch\nENV a=1')).image.id, one.image.id)
})

test('SOURCE_DATE_EPOCH', async () => {
  const { image } = await room.build('FROM base:1\nRUN true\nENV x=1', { args: { SOURCE_DATE_EPOCH: '1000000000' } })
  assert.equal(image.config.created, '2001-09-09T01:46:40Z')
  assert.deepEqual(
    image.config.history?.slice(1).map(({ created }) => created),
    ['2001-09-09T01:46:40Z', '2001-09-09T01:46:40Z'],
  )
})

test('two builds that want the same step perform it once', async () => {
  const text = 'FROM base:1\nRUN sleep 0.5; cat /proc/sys/kernel/random/uuid > /u\n'
  const [one, two] = await Promise.all([room.build(text), room.build(`${text}ENV x=1`)])
  assert.equal(await room.file(one, '/u'), await room.file(two, '/u'))
})

test('independent stages run side by side', async () => {
  const marker = 'mkdir /c/$N; for i in $(seq 50); do [ -e /c/1 ] && [ -e /c/2 ] && exit 0; sleep 0.1; done; exit 1'
  const stage = (n: number): string =>
    `FROM base:1 AS s${n}\nARG N=${n}\nRUN --mount=type=cache,id=meet,target=/c ${marker}\nRUN touch /${n}\n`
  await room.build(`${stage(1)}${stage(2)}FROM base:1\nCOPY --from=s1 /1 /\nCOPY --from=s2 /2 /`)
})

test('cache mounts of another namespace are other ones', async () => {
  const text = 'FROM base:1\nRUN --mount=type=cache,id=ns,target=/c echo x >> /c/n; wc -l < /c/n\n'
  for (const [namespace, count] of [
    ['', 1],
    ['', 2],
    ['other', 1],
  ] as const) {
    const { text: said } = await room.build(text, { noCache: true, args: { BUILDKIT_CACHE_MOUNT_NS: namespace } })
    assert.match(said, new RegExp(`^#\\d+ [\\d.]+ ${count}$`, 'm'))
  }
})

test('locked cache mounts are taken in turn', async () => {
  const stage = (n: number): string =>
    `FROM base:1 AS l${n}\nRUN --mount=type=cache,id=lock,target=/c,sharing=locked mkdir /c/busy && sleep 0.3 && /bin/busybox rmdir /c/busy && touch /${n}\n`
  await room.build(`${stage(1)}${stage(2)}FROM base:1\nCOPY --from=l1 /1 /\nCOPY --from=l2 /2 /`)
})

test('usage and prune: what images have stays, the rest goes; images work on', async () => {
  const kept = await room.build('FROM base:1\nRUN echo kept > /kept', { tags: ['kept'] })
  await room.build('FROM base:1 AS dropped\nRUN echo dropped > /d\nFROM base:1\nCOPY --from=dropped /d /d', {
    tags: ['dropped'],
  })
  const usage = await room.builder.cacheUsage()
  assert.ok(usage.some(({ description, shared }) => description.endsWith('RUN echo kept > /kept') && shared))
  assert.ok(usage.some(({ type }) => type === 'exec.cachemount'))
  assert.ok(usage.every(({ inUse }) => !inUse))
  const pruned = await room.builder.prune({ all: false })
  assert.ok(pruned.deleted.length > 0)
  assert.ok((await room.builder.cacheUsage()).every(({ shared }) => shared))
  assert.deepEqual(performed(await room.build('FROM base:1\nRUN echo kept > /kept')), [])
  await room.builder.prune({ all: true })
  assert.deepEqual(await room.builder.cacheUsage(), [])
  assert.equal(await room.file(kept, '/kept'), 'kept\n')
  assert.deepEqual(performed(await room.build('FROM base:1\nRUN echo kept > /kept')), ['RUN echo kept > /kept'])
  await room.builder.prune({ all: true, reservedBytes: 1 << 30 })
  assert.ok((await room.builder.cacheUsage()).length > 0)
})

test('prune by size: the oldest go first, what newer ones stand on stays; filters', async () => {
  await room.builder.prune({ all: true })
  const file = (n: number): string => `RUN /bin/busybox dd if=/dev/urandom of=/f${n} bs=1M count=2 2>/dev/null`
  await room.builder.export(request(`FROM base:1\n${file(1)}`), [])
  await room.builder.export(request(`FROM base:1\n${file(2)}\n${file(3)}`), [])
  const names = async (): Promise<string[]> =>
    (await room.builder.cacheUsage()).map(({ description }) => /of=\/(f\d)/.exec(description)?.[1] ?? '').sort()
  // A hit at the top is a use of what is below it, too.
  await room.builder.export(request(`FROM base:1\n${file(1)}`), [])
  await room.builder.prune({ all: false, maxUsedBytes: 4.5 * 1024 * 1024 })
  assert.deepEqual(await names(), ['f1', 'f2'])
  await room.builder.prune({ all: false, filters: ['description~=f2'] })
  assert.deepEqual(await names(), ['f1'])
  await room.builder.prune({ all: false, until: Date.now() - 60_000 })
  await room.builder.prune({ all: false, reservedBytes: 1 << 30, minFreeBytes: 1 << 60 })
  assert.deepEqual(await names(), ['f1'])
  await assert.rejects(room.builder.prune({ all: false, filters: ['color==red'] }), { code: 'bad-request' })
  await room.builder.prune({ all: false, minFreeBytes: 2 ** 60 })
  assert.deepEqual(await names(), [])
})

test('what nobody has used for two months goes after a build', async () => {
  let ahead = 0
  const db = openDatabase(join(room.instance.stateDir, 'state.db'))
  const log = createLog(() => {})
  const clock = { ...systemClock, now: () => Date.now() + ahead }
  const later = createBuilder({ engine: room.engine, instance: room.instance, sys: room.sys, db, log, clock })
  try {
    await later.prune({ all: true })
    const named = async (): Promise<string[]> =>
      (await later.cacheUsage()).flatMap(({ description }) => /echo (\w+)/.exec(description)?.[1] ?? []).sort()
    await later.export(request('FROM base:1\nRUN echo forgotten'), [])
    await later.build({ ...request('FROM base:1\nRUN echo tagged'), tags: ['of-an-image'] })
    ahead = 61 * 24 * 3600 * 1000
    await later.export(request('FROM base:1\nRUN echo recent'), [])
    assert.deepEqual(await named(), ['recent', 'tagged'], 'what an image has does not go')
    ahead += 30 * 60 * 1000
    await later.export(request('FROM base:1\nRUN echo recent'), [])
    assert.deepEqual(await named(), ['recent', 'tagged'])
  } finally {
    await later.close()
    db.close()
  }
})

test('the cache survives a new daemon; records without their snapshot are dropped', async () => {
  const text = 'FROM base:1\nRUN echo survivor > /s'
  const first = await room.build(text)
  const next = await room.again()
  assert.deepEqual(performed(await next.build(text)), [])
  const { engine } = room
  const top = first.image.snapshots.at(-1)!
  for (const image of await engine.images.list())
    if (image.snapshots.includes(top)) await engine.images.remove(image.id, { force: true })
  await engine.snapshots.remove(top)
  assert.deepEqual(performed(await room.build(text)), ['RUN echo survivor > /s'])
})

test('steps do not wait for the disk; those that were not on it when the machine went down are performed again', async () => {
  const text = 'FROM base:1\nRUN head -n 1 /proc/mounts > /first\nRUN echo above > /above'
  const first = await room.build(text)
  assert.match((await room.file(first, '/first')) ?? '', /^overlay \/ .*\bvolatile\b/)
  const db = openDatabase(join(room.instance.stateDir, 'state.db'))
  const unsynced = 'SELECT description FROM build_records WHERE unsynced IS NOT NULL'
  try {
    while (db.prepare(unsynced).all().length > 0) await sleep(20)
    await assert.rejects(room.build('FROM base:1\nRUN echo kept > /kept\nRUN false'), /exit code: 1/)
    while (db.prepare(unsynced).all().length > 0) await sleep(20)
    db.exec("UPDATE build_records SET unsynced = 'an earlier boot' WHERE description LIKE '%above%'")
  } finally {
    db.close()
  }
  const next = await room.again()
  assert.equal(await next.engine.images.get(first.image.id), undefined, 'an image that was made of it is gone as well')
  assert.deepEqual(performed(await next.build(text)), ['RUN echo above > /above'])
})

test('nothing goes that a build under way uses: layers, cache mounts, the base', async () => {
  const text = `FROM base:1
RUN echo below > /below
RUN --mount=type=cache,id=held,target=/c echo mine > /c/f; sleep 1.5; cat /c/f /below > /both
`
  let begun = (): void => {}
  const running = new Promise<void>((resolve) => {
    begun = resolve
  })
  const built = room.build(text, {
    watch: (event) => void (event.type === 'vertex' && /sleep 1/.test(event.name) && begun()),
  })
  await running
  const before = await room.builder.cacheUsage()
  assert.ok(before.some(({ description, inUse }) => /echo below/.test(description) && inUse))
  await room.builder.prune({ all: true })
  await room.engine.images.prune({ all: true })
  assert.equal(await room.file(await built, '/both'), 'mine\nbelow\n')
  assert.equal(await room.engine.images.get('base:1'), undefined, 'the base itself had no container')
})
