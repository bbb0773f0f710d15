import assert from 'node:assert/strict'
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { settlesAt } from '../../lib/file-times.ts'
import { treeFacts } from './tree-facts.ts'

const base = mkdtempSync(join(tmpdir(), 'slipway-tree-facts-'))
after(() => rmSync(base, { recursive: true }))
const pace = () => undefined
const settle = () => new Promise((resolve) => setTimeout(resolve, 20))

const make = (name: string): string => {
  const root = join(base, name)
  mkdirSync(join(root, 'd/e'), { recursive: true })
  for (const path of ['a', 'd/x', 'd/e/y']) writeFileSync(join(root, path), path)
  symlinkSync('a', join(root, 'link'))
  return root
}
const of = async (root: string, leaveOut?: (path: string) => boolean): Promise<string> =>
  (await treeFacts(root, { leaveOut, pace }))!.digest

test('every change of anything below is seen; what only reads is not', async () => {
  const root = make('changes')
  const at = (path: string): string => join(root, path)
  const other = join(base, 'other')
  const changes: Record<string, () => void> = {
    'content of the same size at the same time': () => {
      const { atime, mtime } = lstatSync(at('d/e/y'))
      writeFileSync(at('d/e/y'), 'y/e/d')
      utimesSync(at('d/e/y'), atime, mtime)
    },
    'a mode': () => chmodSync(at('a'), 0o600),
    'the mode of a directory': () => chmodSync(at('d/e'), 0o700),
    'the mode of the root': () => chmodSync(root, 0o700),
    'an owner': () => chownSync(at('a'), process.getuid!(), process.getgid!()),
    'a time': () => utimesSync(at('a'), 1, 1),
    'one more': () => writeFileSync(at('d/e/z'), ''),
    'another name': () => renameSync(at('d/e/z'), at('d/e/zz')),
    'one less': () => rmSync(at('d/e/zz')),
    'a second name elsewhere': () => linkSync(at('a'), other),
    'written by its second name': () => writeFileSync(other, '!'),
    'a link instead of a file': () => {
      rmSync(at('d/x'))
      symlinkSync('e/y', at('d/x'))
    },
    'another target of a link': () => {
      rmSync(at('link'))
      symlinkSync('d', at('link'))
    },
    'a directory of the same name': () => {
      renameSync(at('d'), at('was'))
      mkdirSync(at('d'))
      rmSync(at('was'), { recursive: true })
    },
  }
  for (const [what, change] of Object.entries(changes)) {
    const before = await of(root)
    await settle()
    readFileSync(at('a'))
    assert.equal(await of(root), before, `nothing before ${what}`)
    change()
    assert.notEqual(await of(root), before, what)
  }
})

test('what is left out is not looked at, nor what is below it', async () => {
  const root = make('left-out')
  const asked: string[] = []
  const leaveOut = (path: string): boolean => {
    asked.push(path)
    return path === 'd/e' || path === 'a'
  }
  const before = await of(root, leaveOut)
  assert.deepEqual(asked.sort(), ['a', 'd', 'd/e', 'd/x', 'link'])
  await settle()
  writeFileSync(join(root, 'd/e/y'), 'other')
  writeFileSync(join(root, 'a'), 'other')
  assert.equal(await of(root, leaveOut), before)
  assert.notEqual(await of(root), before)
  writeFileSync(join(root, 'd/x'), 'other')
  assert.notEqual(await of(root, leaveOut), before)
})

test('the latest change of all settles last; a file as the root, and what is not there', async () => {
  const root = make('latest')
  await settle()
  writeFileSync(join(root, 'd/e/y'), 'later')
  const { settledMs } = (await treeFacts(root, { pace }))!
  const { ctimeNs } = lstatSync(join(root, 'd/e/y'), { bigint: true })
  assert.equal(settledMs, settlesAt(Number(ctimeNs / 10n ** 9n), Number(ctimeNs % 10n ** 9n), Date.now()))
  assert.notEqual(await of(join(root, 'a')), await of(join(root, 'link')), 'links are not followed')
  assert.equal(await treeFacts(join(root, 'none'), { pace }), undefined)
  assert.equal(await treeFacts(join(root, 'a/none'), { pace }), undefined)
})

test('more than one call gives: many files, long names, two at once', async () => {
  const root = join(base, 'many')
  mkdirSync(root)
  for (let i = 0; i < 3000; i++) writeFileSync(join(root, `${'long'.repeat(20)}${i}`), '')
  let paused = 0
  const yielding = (): Promise<void> => {
    paused++
    return new Promise((resolve) => setImmediate(resolve))
  }
  const [one, two] = await Promise.all([1, 2].map(() => treeFacts(root, { pace: yielding })))
  assert.ok(paused > 4)
  assert.deepEqual(one, two)
  await settle()
  for (const i of [0, 1500, 2999]) {
    const before = await of(root)
    chmodSync(join(root, `${'long'.repeat(20)}${i}`), 0o600)
    assert.notEqual(await of(root), before)
    await settle()
  }
})

test('what was looked at before makes no difference', async () => {
  const [one, two] = [join(base, 'one'), join(base, 'two')]
  for (const [root, length] of [
    [one, 1],
    [two, 23],
  ] as const) {
    mkdirSync(root)
    for (const letter of 'abcdefgh') writeFileSync(join(root, letter.repeat(length)), '')
  }
  const alone = await of(one)
  await of(two)
  assert.equal(await of(one), alone)
})
