import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type TarEntry, tarEntry } from '../../../lib/tar/index.ts'
import { CanonicalForm } from './canonical.ts'

const holds = (...entries: (Partial<TarEntry> & { path: string })[]): boolean => {
  const form = new CanonicalForm()
  for (const entry of entries) form.entry(tarEntry(entry))
  return form.holds
}
const directory = (path: string) => ({ path, type: 'directory' as const })

test('what layerTar could have written', () => {
  assert.ok(holds())
  assert.ok(
    holds(
      { path: '.wh.gone' },
      directory('a/'),
      { path: 'a/.wh..wh..opq' },
      { path: 'a/.wh.x' },
      directory('a/b'),
      { path: 'a/b/c' },
      { path: 'a/b.txt' },
      { path: 'b', type: 'symlink', linkName: 'a' },
      { path: 'ß' },
    ),
  )
})

test('what it never writes', () => {
  assert.equal(holds({ path: 'usr/bin/program' }), false, 'no directory above')
  assert.equal(holds({ path: 'b' }, { path: 'a' }), false, 'order')
  assert.equal(holds({ path: 'a' }, { path: 'a' }), false, 'twice')
  assert.equal(holds(directory('a'), directory('b'), { path: 'a/x' }), false, 'back in a directory')
  assert.equal(holds(directory('./')), false, 'the root')
  assert.equal(holds({ path: './a' }), false, 'a dot in front')
  assert.equal(holds({ path: 'a', uname: 'root' }), false, 'names of owners')
  assert.equal(holds({ path: 'a', mtimeNs: 1n }), false, 'parts of a second')
  assert.equal(
    holds({
      path: 'a',
      xattrs: new Map([
        ['user.x', Buffer.from('')],
        ['system.y', Buffer.from('')],
      ]),
    }),
    false,
  )
})
