/**
 * A daemon that is killed before each single statement that changes the database, one after the other, in a life with everything
 * that images and builds go through. After each kill the next daemon has to bring records and files together again.
 *
 * test/run soak points [--step N] [--from N]
 */
import assert from 'node:assert/strict'
import { execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream, createWriteStream, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { DatabaseSync, StatementSync } from 'node:sqlite'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { parseArgs } from 'node:util'
import { type Registry, startRegistry } from '../clients/images-kit.ts'
import { interruptedBuild, interruptedText } from '../root/build-interruptions.ts'
import { type BuildRoom, openBuildRoomAt, useBase } from '../root/build-room.ts'
import { spec } from '../root/engine-kit.ts'
import { disagreements } from './leftovers.ts'

/** From now on every statement that can change something counts; the nth kills this process. */
const countWrites = (last: number): { count: number } => {
  const counted = { count: 0 }
  const count = (text: string): void => {
    if (!/^\s*(INSERT|UPDATE|DELETE|COMMIT)/i.test(text)) return
    if (++counted.count === last) process.kill(process.pid, 'SIGKILL')
  }
  for (const name of ['run', 'get', 'all'] as const) {
    const own = StatementSync.prototype[name] as (...given: unknown[]) => unknown
    StatementSync.prototype[name] = function (this: StatementSync, ...given: unknown[]) {
      count(this.sourceSQL)
      return own.apply(this, given)
    } as never
  }
  const exec = DatabaseSync.prototype.exec
  DatabaseSync.prototype.exec = function (this: DatabaseSync, text: string) {
    count(text)
    return exec.call(this, text)
  }
  return counted
}

/** Everything once; `say` is told of each thing that is about to be done. */
const live = async (room: BuildRoom, registry: string, say: (what: string) => void): Promise<void> => {
  const { engine, builder, home } = room
  const { images, containers } = engine
  const bytes = async (data: AsyncIterable<Uint8Array>): Promise<void> => {
    for await (const _ of data);
  }
  const build = (output: Parameters<typeof builder.export>[1][number]) =>
    builder.export({ ...interruptedBuild(join(home, 'context.tar')), progress: () => {} }, [output])
  say('pull')
  await images.pull(`${registry}/pulled:1`, { bootstrap: false })
  say('tag')
  await images.tag(`${registry}/pulled:1`, 'tagged:1')
  say('build')
  await build({ type: 'image', attrs: { name: 'built:1' } })
  say('build for two')
  const request = {
    context: { none: true as const },
    dockerfile: { inline: 'FROM scratch\nCOPY <<end /x\nx\nend\n' },
    args: {},
    labels: {},
    tags: [],
    platforms: ['linux/amd64', 'linux/arm64'],
  }
  await builder.export({ ...request, progress: () => {} }, [{ type: 'image', attrs: { name: 'both:1' } }])
  say('export')
  await build({ type: 'oci', attrs: {}, archive: (data) => bytes(data) })
  say('push')
  await images.tag('built:1', `${registry}/built:1`)
  await images.push(`${registry}/built:1`)
  say('push both')
  await images.tag('both:1', `${registry}/both:1`)
  await images.push(`${registry}/both:1`)
  say('save')
  await pipeline(await images.save(['built:1', 'both:1', 'tagged:1']), createWriteStream(join(home, 'saved.tar')))
  say('container')
  const { id } = await containers.create(spec('one', ['true'], { image: 'built:1' }))
  say('commit')
  await containers.commit(id, { name: 'committed:1', pause: false })
  say('remove container')
  await containers.remove(id, { force: true, volumes: true })
  say('remove')
  for (const name of ['built:1', `${registry}/built:1`, 'both:1', `${registry}/both:1`]) await images.remove(name)
  say('load')
  await images.load(createReadStream(join(home, 'saved.tar')))
  say('import')
  await images.import(createReadStream(join(home, 'context.tar')), { name: 'imported:1', config: {} })
  say('prune cache')
  await builder.prune({ all: false })
  say('prune images')
  await images.prune({ all: true })
  say('prune all of the cache')
  await builder.prune({ all: true })
  say('end')
}

const asChild = async (): Promise<void> => {
  const [home = '', registry = '', last = ''] = process.env.SLIPWAY_TEST_POINT!.split(' ')
  const room = await openBuildRoomAt(home)
  if (!(await room.engine.images.get('base:1'))) await useBase(room)
  const counted = countWrites(Number(last))
  await live(room, registry, (what) => process.send!(what))
  process.send!(`count ${counted.count}`)
  process.exit(0)
}

const lifeOf = async (home: string, registry: Registry, last: number): Promise<string[]> => {
  const env = { ...process.env, SLIPWAY_TEST_POINT: `${home} ${registry.host} ${last}` }
  const child = fork(import.meta.filename, { env, execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const said: string[] = []
  child.on('message', (word) => said.push(String(word)))
  const [code, signal] = await once(child, 'close')
  assert.ok(code === 0 || signal === 'SIGKILL', `${code} in ${said.at(-1)}`)
  return said
}

/** A home with a base, a context, and an image in the registry. */
const prepared = async (registry: Registry): Promise<string> => {
  const home = mkdtempSync(join(tmpdir(), 'slipway-points-'))
  const room = await openBuildRoomAt(home)
  await useBase(room)
  mkdirSync(join(home, 'files'))
  for (const name of ['small', 'big']) writeFileSync(join(home, 'files', name), name.repeat(1000))
  execFileSync('tar', ['-cf', join(home, 'context.tar'), '-C', join(home, 'files'), '.'])
  const pulled = `${registry.host}/pulled:1`
  await room.builder.export({ ...interruptedBuild(join(home, 'context.tar')), progress: () => {} }, [
    { type: 'image', attrs: { name: pulled } },
  ])
  await room.engine.images.push(pulled)
  await room.engine.images.remove(pulled)
  await room.builder.prune({ all: true })
  await room.builder.close()
  await room.engine.close()
  return home
}

const main = async (): Promise<number> => {
  const { values } = parseArgs({
    options: { step: { type: 'string', default: '1' }, from: { type: 'string', default: '1' } },
  })
  const dir = mkdtempSync(join(tmpdir(), 'slipway-points-registry-'))
  const registry = await startRegistry(dir)
  const home = await prepared(registry)
  let faults = 0
  try {
    const [told = ''] = (await lifeOf(home, registry, 0)).slice(-1)
    const total = Number(told.replace('count ', ''))
    process.stdout.write(`${total} writes\n`)
    for (let last = Number(values.from); last <= total; last += Number(values.step)) {
      const said = await lifeOf(home, registry, last)
      const room = await openBuildRoomAt(home)
      for (const container of await room.engine.containers.list())
        await room.engine.containers.remove(container.id, { force: true, volumes: true })
      const found = disagreements(join(home, 'lib'), 'state.db')
      // A life that came to its end has pruned it.
      if (!(await room.engine.images.get('base:1'))) await useBase(room)
      const isRight = await room.build(interruptedText, {
        context: interruptedBuild(join(home, 'context.tar')).context,
      })
      if ((await room.file(isRight, '/w/both')) !== 'one\none\n') found.push('the next build is wrong')
      await room.engine.images.prune({ all: true })
      await room.builder.prune({ all: true })
      const keys = room.engine.snapshots.keys()
      if (keys.length > 0) found.push(`left in the end: ${keys.join(', ')}`)
      found.push(...disagreements(join(home, 'lib'), 'state.db'))
      if (found.length > 0) faults++
      process.stdout.write(
        `${last} of ${total}, in "${said.at(-1)}": ${found.length > 0 ? `FAULT ${found.join('; ')}` : 'right'}\n`,
      )
      await room.builder.close()
      await room.engine.close()
    }
  } finally {
    registry.stop()
    await (await openBuildRoomAt(home)).close()
    rmSync(dir, { recursive: true })
  }
  return faults
}

if (process.env.SLIPWAY_TEST_POINT) await asChild()
else process.exit((await main()) > 0 ? 1 : 0)
