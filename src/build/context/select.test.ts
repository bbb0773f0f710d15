import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, before, test } from 'node:test'
import { migrate } from '../../lib/database.ts'
import { silentLog } from '../../lib/log.ts'
import { createLinux } from '../../sys/linux/index.ts'
import { schema } from '../cache/schema.ts'
import { createFileDigests } from './digests.ts'
import { compilePatterns } from './patterns.ts'
import { digestSelected, select } from './select.ts'

let root = ''
const { files } = createLinux({ runDir: '/nonexistent' }, silentLog)

const write = (path: string, text = path): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), text)
}
before(() => {
  root = mkdtempSync(join(tmpdir(), 'slipway-select-'))
  for (const path of ['a.txt', 'b.txt', 'c.md', 'd/x', 'd/y.md', 'd/e/z', 'n/m/1', 'n/m/2', 'n/keep', '[odd]'])
    write(path)
  symlinkSync('d', join(root, 'link'))
  symlinkSync('a.txt', join(root, 'file-link'))
  symlinkSync('/etc', join(root, 'out'))
  symlinkSync('../../..', join(root, 'd/up'))
})
after(() => rmSync(root, { recursive: true, force: true }))

/** Names as they arrive in the destination. */
const names = async (
  path: string,
  options: { ignore?: string[]; exclude?: string[]; pivot?: string } = {},
): Promise<string[]> => {
  const tree = { root, resetOwner: true, stable: true, ignore: options.ignore && compilePatterns(options.ignore) }
  const found = await select(tree, files, { path, pivot: options.pivot, exclude: options.exclude ?? [] })
  return found.flatMap(({ name, entries }) => entries.map((entry) => (name === '' ? entry.path || '.' : name)))
}

test("a file, a directory's contents, patterns", async () => {
  assert.deepEqual(await names('/a.txt'), ['a.txt'])
  assert.deepEqual(await names('/d'), ['.', 'e', 'e/z', 'up', 'x', 'y.md'])
  assert.deepEqual(await names('/*.txt'), ['a.txt', 'b.txt'])
  assert.deepEqual(await names('/d/*.md'), ['y.md'])
  assert.deepEqual(await names('/*/x'), ['x', 'x'], 'through the link too')
  assert.deepEqual(await names('/n*'), ['.', 'keep', 'm', 'm/1', 'm/2'])
  assert.deepEqual(await names('/nothing*'), [])
  assert.deepEqual(await names('/\\[odd\\]'), ['[odd]'])
  await assert.rejects(names('/none'), /"\/none": not found/)
  await assert.rejects(names('/a.txt/x'), /"\/a.txt\/x": not found/)
})

test('links named by the source are followed, inside the root only', async () => {
  assert.deepEqual(await names('/link'), ['.', 'e', 'e/z', 'up', 'x', 'y.md'])
  assert.deepEqual(await names('/file-link'), ['file-link'])
  await assert.rejects(names('/out/passwd'), /"\/out\/passwd": not found/)
  await assert.rejects(names('/d/up/etc/passwd'), /not found/)
})

test('.dockerignore and --exclude', async () => {
  assert.deepEqual(await names('/', { ignore: ['*', '!d/e'] }), ['.', 'd', 'd/e', 'd/e/z'])
  assert.deepEqual(await names('/d', { ignore: ['**/*.md', 'd/up'] }), ['.', 'e', 'e/z', 'x'])
  await assert.rejects(names('/a.txt', { ignore: ['a.txt'] }), /not found/)
  await assert.rejects(names('/d', { ignore: ['d'] }), /not found/)
  assert.deepEqual(await names('/*.txt', { ignore: ['a.*'] }), ['b.txt'])
  assert.deepEqual(await names('/d', { exclude: ['e', '*.md'] }), ['.', 'up', 'x'])
  assert.deepEqual(await names('/*', { exclude: ['*.txt'], ignore: ['d', 'n', 'link', 'out'] }), [
    '[odd]',
    'c.md',
    'file-link',
  ])
})

test('--parents keeps the directories', async () => {
  assert.deepEqual(await names('/n/m/1', { pivot: '/' }), ['n', 'n/m', 'n/m/1'])
  assert.deepEqual(await names('/n/m/1', { pivot: '/n' }), ['m', 'm/1'])
  assert.deepEqual(await names('/**/*.md', { pivot: '/' }), ['c.md', 'd', 'd/y.md'])
  assert.deepEqual(await names('/n', { pivot: '/' }), ['n', 'n/keep', 'n/m', 'n/m/1', 'n/m/2'])
  assert.deepEqual(await names('/*.none', { pivot: '/' }), [])
  await assert.rejects(names('/none', { pivot: '/' }), /not found/)
  assert.deepEqual(await names('/*/**/1', { pivot: '/*' }), ['m', 'm/1'], 'patterns in what is cut off')
  assert.deepEqual(await names('/none*/x', { pivot: '/none*' }), [])
  await assert.rejects(names('/none/*', { pivot: '/none' }), /not found/)
})

test('digests: content, mode and names count, times do not', async () => {
  const db = new DatabaseSync(':memory:')
  db.exec('CREATE TABLE migrations (room TEXT PRIMARY KEY, version INTEGER NOT NULL)')
  migrate(db, 'build', schema)
  const digests = createFileDigests(db, () => 0)
  const tree = { root, resetOwner: true, stable: true }
  const digest = async (path: string): Promise<string> =>
    (await digestSelected(await select(tree, files, { path, exclude: [] }), tree, digests)).digest
  const first = await digest('/d')
  utimesSync(join(root, 'd/x'), 1, 1)
  assert.equal(await digest('/d'), first, 'a touched file')
  chmodSync(join(root, 'd/x'), 0o755)
  const second = await digest('/d')
  assert.notEqual(second, first, 'mode')
  write('d/x', 'other')
  assert.notEqual(await digest('/d'), second, 'content')
  write('d/x', 'd/x')
  chmodSync(join(root, 'd/x'), 0o755)
  assert.equal(await digest('/d'), second, 'as it was')
  assert.notEqual(await digest('/a.txt'), await digest('/file-link'), 'the name')
})

test('digests are remembered for settled files only', async () => {
  const db = new DatabaseSync(':memory:')
  db.exec('CREATE TABLE migrations (room TEXT PRIMARY KEY, version INTEGER NOT NULL)')
  migrate(db, 'build', schema)
  const count = (): unknown => db.prepare('SELECT count(*) AS n FROM build_files').get()!.n
  const digests = createFileDigests(db, () => 0)
  const tree = { root, resetOwner: true, stable: true }
  write('fresh')
  await digestSelected(await select(tree, files, { path: '/fresh', exclude: [] }), tree, digests)
  assert.equal(count(), 0, 'it may change again within the same tick')
  await new Promise((resolve) => setTimeout(resolve, 80))
  await digestSelected(await select(tree, files, { path: '/fresh', exclude: [] }), tree, digests)
  assert.equal(count(), 1)
})
