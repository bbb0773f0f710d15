/** Builds that are stopped, killed or out of space at any point: nothing is left behind, and the next build is right. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, before, test } from 'node:test'
import { isError } from '../../src/errors.ts'
import { interruptedBuild, interruptedText } from './build-interruptions.ts'
import type { BuildRoom } from './build-room.ts'
import { contextsLeft, openBuildRoom, openBuildRoomAt, useBase } from './build-room.ts'

let room: BuildRoom
let tar = ''
before(async () => {
  room = await openBuildRoom()
  const files = room.context({ small: 'small\n' })
  writeFileSync(join(files, 'big'), randomBytes(3 << 20))
  tar = join(room.home, 'context.tar')
  execFileSync('tar', ['-cf', tar, '-C', files, '.'])
})
after(() => room?.close())

/** What a build may have left. */
const nothingLeft = async (from: BuildRoom, when: string): Promise<void> => {
  const { sys, instance, engine } = from
  const inside = (path: string): string[] => (existsSync(path) ? readdirSync(path) : [])
  assert.deepEqual(
    {
      mounts: ['build', 'steps', 'sandboxes'].flatMap((name) => sys.mounts.below(join(instance.runDir, name))),
      work: inside(join(instance.runDir, 'build')),
      steps: inside(join(instance.runDir, 'steps')),
      contexts: await contextsLeft(from),
      ingest: inside(join(instance.stateDir, 'content/ingest')),
      snapshots: (await engine.snapshots.list()).filter(({ state }) => state === 'active'),
      sandboxes: engine.sandboxes.list(),
      processes: sys.cgroups.pids(instance.cgroupParent),
      links: execFileSync('ip', ['-o', 'link'], { encoding: 'utf8' }).match(
        new RegExp(`${instance.linkPrefix}\\w*@`, 'g'),
      ),
    },
    {
      ...{ mounts: [], work: [], steps: [], contexts: [], ingest: [], snapshots: [], sandboxes: [], processes: [] },
      links: null,
    },
    when,
  )
}

const archive = async (data: import('node:stream').Readable): Promise<void> => {
  for await (const _ of data);
}
const isRight = async (at: BuildRoom): Promise<void> => {
  const result = await at.build(interruptedText, { context: interruptedBuild(tar).context })
  assert.equal(await at.file(result, '/w/both'), 'one\none\n')
  await at.rootfs(result, (root) => assert.deepEqual(readdirSync(join(root, 'linked')), ['big', 'small']))
}

/** How many things a whole build tells, from an empty cache. */
const whole = async (): Promise<number> => {
  let events = 0
  await room.builder.prune({ all: true })
  const progress = (): void => void events++
  await room.builder.export({ ...interruptedBuild(tar), progress }, [{ type: 'oci', attrs: {}, archive }])
  return events
}

test('stopped at any event', async () => {
  const events = await whole()
  assert.ok(events > 30, String(events))
  for (let last = 1; last < events; last += 4) {
    if (last % 8 === 1) await room.builder.prune({ all: true })
    const stop = new AbortController()
    let seen = 0
    const progress = (): void => void (++seen === last && stop.abort())
    const request = { ...interruptedBuild(tar), progress, signal: stop.signal }
    await room.builder.export(request, [{ type: 'oci', attrs: {}, archive }]).then(
      () => {},
      (error: unknown) => assert.ok(isError(error, 'cancelled'), `event ${last}: ${String(error)}`),
    )
    await nothingLeft(room, `event ${last}`)
  }
  await isRight(room)
})

test('killed at any event: the next daemon takes everything down', async () => {
  const events = await whole()
  for (let last = 2; last < events; last += Math.ceil(events / 6)) {
    await room.builder.prune({ all: true })
    const script = join(import.meta.dirname, 'build-interrupted.ts')
    const child = spawn(process.execPath, [script, room.home, tar, String(last)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const signal = await new Promise((gone) => child.once('exit', (_code, by) => gone(by)))
    assert.equal(signal, 'SIGKILL', `event ${last} of ${events}`)
    room = await room.again()
    await nothingLeft(room, `event ${last}`)
  }
  await isRight(room)
})

test('killed while the cache is pruned', async () => {
  for (const afterMs of [0, 4, 15]) {
    await whole()
    const script = join(import.meta.dirname, 'build-pruned.ts')
    const child = spawn(process.execPath, [script, room.home], { stdio: ['ignore', 'pipe', 'inherit'] })
    child.stdout.once('data', () => setTimeout(() => child.kill('SIGKILL'), afterMs))
    await once(child, 'exit')
    room = await room.again()
    const when = `${afterMs} ms after it began`
    await nothingLeft(room, when)
    const { snapshots, images } = room.engine
    const directories = readdirSync(join(room.instance.stateDir, 'snapshots'))
    assert.equal(directories.length, snapshots.keys().length, when)
    const mounts = await room.builder.cacheUsage()
    const kept = join(room.instance.stateDir, 'build/cache-mounts')
    assert.equal(mounts.filter(({ type }) => type === 'exec.cachemount').length, readdirSync(kept).length, when)
    await isRight(room)
    // What is left can all go: nothing but the base stays.
    await images.prune({ all: false })
    await room.builder.prune({ all: true })
    assert.equal(snapshots.keys().length, (await images.must('base:1')).snapshots.length, when)
  }
})

test('killed between a snapshot of the cache and its record: the next daemon forgets the step', async () => {
  await room.builder.prune({ all: true })
  await isRight(room)
  const records = (): string[] => {
    const db = new DatabaseSync(join(room.instance.stateDir, 'state.db'), { readOnly: true })
    const rows = db.prepare('SELECT snapshot FROM build_records WHERE owned = 1').all()
    db.close()
    return rows.map(({ snapshot }) => String(snapshot))
  }
  await room.engine.images.prune({ all: false })
  const { snapshots } = room.engine
  const tops = await Promise.allSettled(records().map((key) => snapshots.remove(key)))
  assert.ok(tops.some(({ status }) => status === 'fulfilled'))
  room = await room.again()
  const left = new Set(room.engine.snapshots.keys())
  assert.ok(left.size > 1)
  assert.deepEqual(
    records().filter((key) => !left.has(key)),
    [],
  )
  await isRight(room)
})

test('the disk fills up: in a copy, in a run, in an export; afterwards there is room again', async () => {
  const home = mkdtempSync(join(tmpdir(), 'slipway-full-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=340m', 'tmpfs', home])
  const full = await openBuildRoomAt(home)
  const context = mkdtempSync(join(tmpdir(), 'slipway-context-'))
  try {
    await useBase(full)
    mkdirSync(join(context, 'd'))
    // Twice: copied files may share their blocks with the context's, but not with each other's.
    for (const name of ['a', 'b', 'c']) writeFileSync(join(context, 'd', name), randomBytes(120 << 20))
    const fails = async (text: string, what: RegExp): Promise<void> => {
      await assert.rejects(full.build(text, { context: { directory: context } }), what, text)
      await nothingLeft(full, text)
    }
    await fails('FROM base:1\nCOPY d /d\n', /no space left on device|ENOSPC/)
    await fails('FROM base:1\nRUN cat /dev/zero > /zeros\n', /did not complete successfully: exit code: 1/)
    await fails(
      'FROM base:1\nRUN --mount=type=cache,target=/c cat /dev/zero > /c/zeros || { rm /c/zeros; exit 1; }\n',
      /exit code: 1/,
    )
    const large = 'FROM base:1\nRUN head -c 100000000 /dev/urandom > /large\n'
    await full.build(large)
    const output = { type: 'oci', attrs: {}, archive }
    const request = { context: { none: true }, dockerfile: { inline: large }, args: {}, labels: {}, tags: [] } as const
    const filler = join(home, 'filler')
    writeFileSync(filler, Buffer.alloc(190 << 20))
    await assert.rejects(
      full.builder.export({ ...request, tags: [], progress: () => {} }, [output]),
      /no space left|ENOSPC/,
    )
    await nothingLeft(full, 'export')
    rmSync(filler)
    await full.builder.export({ ...request, tags: [], progress: () => {} }, [output])
    await nothingLeft(full, 'exported')
    // No room for the least thing that a step needs before it runs, and after.
    for (const blocks of [0, 1, 3, 20]) {
      writeFileSync(filler, '')
      for (let size = 1 << 20; size >= 4096; size /= 16)
        assert.throws(
          () => {
            for (;;) writeFileSync(filler, Buffer.alloc(size), { flag: 'a' })
          },
          { code: 'ENOSPC' },
        )
      truncateSync(filler, statSync(filler).size - blocks * 4096)
      const inline = `FROM base:1\nRUN echo ${blocks} > /blocks\n`
      await full.builder.build({ ...request, dockerfile: { inline }, tags: [], progress: () => {} }).catch((error) => {
        assert.match(String(error), /no space left|ENOSPC|disk is full/, `${blocks} blocks`)
      })
      rmSync(filler)
      await nothingLeft(full, `${blocks} blocks`)
    }
  } finally {
    rmSync(context, { recursive: true })
    await full.close()
    rmSync(home, { recursive: true, force: true })
  }
})
