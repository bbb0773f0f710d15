import assert from 'node:assert/strict'
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { migrate } from '../../lib/database.ts'
import { silentLog } from '../../lib/log.ts'
import { createLinux } from '../../sys/linux/index.ts'
import type { SpecialFiles } from '../../sys/sys.ts'
import { schema } from '../cache/schema.ts'
import { createFileDigests, type FileDigests } from '../context/digests.ts'
import { compilePatterns } from '../context/patterns.ts'
import type { CopyOp } from '../ops.ts'
import { Contents } from './content.ts'
import type { SolverDeps } from './deps.ts'
import type { LocalNode } from './graph.ts'
import type { Report } from './report.ts'

const base = mkdtempSync(join(tmpdir(), 'slipway-content-'))
after(() => rmSync(base, { recursive: true }))
const { files: linux } = createLinux({ runDir: '/nonexistent' }, silentLog)

const database = (): FileDigests => {
  const db = new DatabaseSync(':memory:')
  db.exec('CREATE TABLE migrations (room TEXT PRIMARY KEY, version INTEGER NOT NULL)')
  migrate(db, 'build', schema)
  return createFileDigests(db, () => 0)
}

/** What builds of one directory make of it, one after the other, with what they remember. */
const builder = (root: string, files: Pick<SpecialFiles, 'treeFacts' | 'resolveInRoot'> = linux) => {
  let looked = 0
  const remembered = database()
  const digests: FileDigests = {
    ...remembered,
    known: (entries) => {
      looked += entries.length
      return remembered.known(entries)
    },
  }
  const local = (ignore: string[] = []): LocalNode => ({
    ...{ kind: 'local', name: 'context' },
    tree: { root, resetOwner: true, stable: true, ignore: ignore.length > 0 ? compilePatterns(ignore) : undefined },
  })
  const op = (...paths: string[]): Pick<CopyOp, 'sources' | 'exclude'> => ({
    sources: paths.map((path) => ({ kind: 'path', path, unpack: false })),
    exclude: [],
  })
  const build = () => {
    const deps = { sys: { files }, digests, clock: { now: () => 0 } } as unknown as SolverDeps
    return new Contents(deps, { signal: new AbortController().signal, report: {} as Report })
  }
  return {
    ...{ local, op, build },
    /** The digest that a build finds, and how many files it had to look at one by one. */
    async digest(paths: string[] = ['/'], ignore: string[] = []) {
      looked = 0
      return { digest: await build().local(local(ignore), op(...paths)), looked }
    },
  }
}

const project = (name: string): { root: string; at: (path: string) => string } => {
  const root = join(base, name)
  mkdirSync(join(root, 'd'), { recursive: true })
  for (const path of ['a', 'd/x', 'd/y']) writeFileSync(join(root, path), path)
  return { root, at: (path) => join(root, path) }
}

test('an unchanged directory is known by what the file system says; every change is seen, however fast it comes', async () => {
  const { root, at } = project('changes')
  const { digest } = builder(root)
  const first = await digest()
  assert.deepEqual([first.looked, (await digest()).looked], [3, 0])
  assert.equal((await digest()).digest, first.digest)
  const twin = join(base, 'twin')
  const changes: Record<string, () => void> = {
    'content of the same size and time': () => {
      const { atime, mtime } = lstatSync(at('a'))
      writeFileSync(at('a'), 'b')
      utimesSync(at('a'), atime, mtime)
    },
    'a mode': () => chmodSync(at('a'), 0o600),
    'the mode of a directory': () => chmodSync(at('d'), 0o700),
    'a link to the same content': () => {
      rmSync(at('d/x'))
      symlinkSync('y', at('d/x'))
    },
    'a new file': () => writeFileSync(at('d/z'), ''),
    'a file by another name of it': () => {
      linkSync(at('d/z'), twin)
      writeFileSync(twin, '!')
    },
    'a removed file': () => rmSync(at('d/z')),
  }
  let before = (await digest()).digest
  for (const [what, change] of Object.entries(changes)) {
    change()
    const now = await digest()
    assert.notEqual(now.digest, before, what)
    assert.deepEqual(await digest(), { digest: now.digest, looked: 0 }, `${what}, again`)
    before = now.digest
  }
  utimesSync(at('a'), 1, 1)
  assert.equal((await digest()).digest, before, 'times are no content')
})

test('a file that changes within the tick in which it was read is read again', async () => {
  const { root, at } = project('racy')
  const { digest } = builder(root)
  const seen = new Set<string>()
  for (let i = 10; i < 20; i++) {
    writeFileSync(at('a'), String(i))
    // Right after it was written, so that nothing of its times need differ from those of the next one.
    seen.add((await digest(['/a'])).digest)
  }
  assert.equal(seen.size, 10)
})

test('what is ignored does not count, and ignoring something else does', async () => {
  const { root, at } = project('ignored')
  const { digest } = builder(root)
  const first = await digest(['/'], ['d/x'])
  writeFileSync(at('d/x'), 'other')
  assert.deepEqual(await digest(['/'], ['d/x']), { digest: first.digest, looked: 0 })
  assert.notEqual((await digest(['/'], ['d/y'])).digest, first.digest)
  const excepted = await digest(['/'], ['d', '!d/x'])
  writeFileSync(at('d/x'), 'again')
  assert.notEqual((await digest(['/'], ['d', '!d/x'])).digest, excepted.digest)
})

test('patterns and several sources', async () => {
  const { root, at } = project('patterns')
  const { digest } = builder(root)
  const of = async (...paths: string[]): Promise<string> => (await digest(paths)).digest
  const [wild, both] = [await of('/d/*'), await of('/a', '/d')]
  assert.deepEqual([await of('/d/*'), await of('/a', '/d')], [wild, both])
  assert.notEqual(await of('/d', '/a'), both)
  writeFileSync(at('d/w'), 'new')
  assert.notEqual(await of('/d/*'), wild)
  assert.equal((await digest(['/none*'])).looked, 0)
  await assert.rejects(digest(['/none']), /"\/none": not found/)
})

test('with --parents, directories that a pattern begins at', async () => {
  const { root, at } = project('parents')
  mkdirSync(at('d*'))
  writeFileSync(at('d*/z'), '')
  const { build, local } = builder(root)
  const digest = (): Promise<string> =>
    build().local(local(), {
      sources: [{ kind: 'path', path: '/d*/*', pivot: '/d*', unpack: false }],
      exclude: [],
    } satisfies Pick<CopyOp, 'sources' | 'exclude'>)
  const before = await digest()
  assert.equal(await digest(), before)
  writeFileSync(at('d/x'), 'other')
  assert.notEqual(await digest(), before)
})

test('a step that copies what was only known by its digest may be kept as long as nothing was changed since', async () => {
  const { root, at } = project('copied')
  const { digest, build, local, op } = builder(root)
  await digest()
  for (const [changed, expected] of [
    [false, true],
    [true, false],
  ] as const) {
    const one = build()
    await one.local(local(), op('/'))
    assert.equal(one.selected(local().tree, op('/').sources[0]!, []), undefined, 'nobody has looked')
    if (changed) writeFileSync(at('d/x'), 'y/d')
    assert.equal(await one.isAsDigested(local(), op('/')), expected)
  }
  const looked = build()
  await looked.local(local(), op('/'))
  assert.equal(await looked.isAsDigested(local(), op('/')), true, 'the copy compares what was looked at')
})

test('where times only count seconds, what is younger is read each time, and no step is kept that has copied it', async () => {
  const { root } = project('coarse')
  const treeFacts: SpecialFiles['treeFacts'] = async (...given) => {
    const facts = await linux.treeFacts(...given)
    return facts && { ...facts, settledMs: Date.now() + 1500 }
  }
  const { digest, build, local, op } = builder(root, { ...linux, treeFacts })
  assert.deepEqual([(await digest()).looked, (await digest()).looked], [3, 3])
  const one = build()
  await one.local(local(), op('/'))
  assert.equal(await one.isAsDigested(local(), op('/')), false)
})
