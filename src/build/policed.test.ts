import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseGitAddress } from './context/git.ts'
import { policed, policedGit, policedImage, policedUrl } from './policed.ts'
import type { SourceRule } from './source-policy.ts'

const convert = (identifier: string, to: string, attrs: Record<string, string> = {}): SourceRule => ({
  action: 'CONVERT',
  selector: { identifier, match: 'WILDCARD', constraints: [] },
  updates: { identifier: to, attrs },
})
const deny = (identifier: string): SourceRule => ({
  action: 'DENY',
  selector: { identifier, match: 'WILDCARD', constraints: [] },
})

test('images by their whole names', () => {
  const name = 'docker.io/library/a:1'
  assert.equal(policedImage([], name), undefined)
  assert.equal(policedImage([deny('docker-image://docker.io/library/b:*')], name), undefined)
  assert.throws(() => policedImage([deny('docker-image://docker.io/library/a:1')], name), { code: 'forbidden' })
  const pinned = 'docker.io/library/a:1@sha256:aa'
  assert.equal(
    policedImage([convert('docker-image://docker.io/library/a:1', `docker-image://${pinned}`)], name),
    pinned,
  )
  assert.throws(
    () => policedImage([convert('*', 'local://x')], name),
    /docker.io\/library\/a:1 cannot become local:\/\/x/,
  )
})

test('addresses, with the digest that their files must have', () => {
  const url = 'https://x.example/y'
  const checksum = 'sha256:00'
  assert.deepEqual(policedUrl([convert(url, '', { 'http.checksum': checksum })], { url }), { url, checksum })
  assert.deepEqual(policedUrl([convert('https://x.example/*', 'http://m.example/$1')], { url, checksum }), {
    url: 'http://m.example/y',
    checksum,
  })
  assert.throws(() => policedUrl([convert('https://*', 'git://$1')], { url }), /cannot become git:\/\//)
})

test('repositories by host and path, however they are reached', () => {
  const git = (text: string, ...rules: SourceRule[]) => policedGit(rules, parseGitAddress(text)!)
  for (const text of [
    'https://h.example/a/b.git#v1:sub',
    'git@h.example:a/b.git#v1:sub',
    'ssh://git@h.example/a/b.git#v1:sub',
  ]) {
    assert.throws(() => git(text, deny('git://h.example/a/b.git#v1:sub')), { code: 'forbidden' }, text)
    const { remote, ref, subdirectory } = git(text, deny('git://other/*'))
    assert.deepEqual([remote, ref, subdirectory], [text.split('#')[0], 'v1', 'sub'])
  }
  const pinned = git('https://h.example/b.git', convert('git://h.example/b.git', 'git://h.example/b.git#0123'))
  assert.deepEqual([pinned.remote, pinned.ref], ['https://h.example/b.git', '0123'])
  const moved = git(
    'https://h.example/b.git#x',
    convert('git://h.example/*', '', { 'git.fullurl': 'https://m.example/$1' }),
  )
  assert.deepEqual([moved.remote, moved.ref], ['https://m.example/$1', 'x'])
})

test('directories of the client can only be refused', () => {
  policed([], 'local://context')
  assert.throws(() => policed([deny('local://*')], 'local://context'), { code: 'forbidden' })
  assert.throws(() => policed([convert('local://context', 'local://y')], 'local://context'), { code: 'unsupported' })
})
