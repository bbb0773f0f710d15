import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sourceOf } from './definitions.ts'
import { Op } from './messages.ts'

const define = (identifier: string, attrs: Record<string, string> = {}) => {
  const source = Op.encode({ source: { identifier, attrs } })
  return { def: [source, Op.encode({ inputs: [{ digest: 'sha256:0' }] })] }
}

test('what clients define themselves: a file at an address, a repository', () => {
  assert.equal(sourceOf(undefined), undefined)
  assert.equal(sourceOf({ def: [] }), undefined)
  assert.deepEqual(sourceOf(define('https://x.test/f', { 'http.filename': 'context', 'http.checksum': 'sha256:1' })), {
    url: 'https://x.test/f',
    name: 'context',
    digest: 'sha256:1',
  })
  assert.deepEqual(sourceOf(define('git://x.test/r.git#main:sub/', { 'git.fullurl': 'http://x.test/r.git' })), {
    git: 'http://x.test/r.git#main:sub',
    address: { remote: 'http://x.test/r.git', ref: 'main', subdirectory: 'sub', ...unsaid },
  })
  const attrs = {
    'git.fullurl': 'git@x.test:r',
    'git.checksum': 'abc',
    'git.keepgitdir': 'true',
    'git.skipsubmodules': 'true',
    'git.mtime': 'checkout',
    'git.knownsshhosts': 'x.test ssh-ed25519 AAAA',
    'git.mountsshsock': 'work',
  }
  assert.deepEqual(sourceOf(define('git://x.test/r', attrs)), {
    git: 'git@x.test:r',
    address: {
      ...{ remote: 'git@x.test:r', ref: 'abc', subdirectory: '', checksum: 'abc' },
      ...{ keepGitDir: true, submodules: false, mtime: 'checkout' },
      ...{ knownHosts: 'x.test ssh-ed25519 AAAA', agent: 'work' },
    },
  })
})

const copying = (copy: object) => {
  const { def } = define('git://x.test/r.git#main:sub', { 'git.fullurl': 'http://x.test/r.git' })
  const file = Op.encode({ file: { actions: [{ input: -1, secondaryInput: 0, copy: { mode: -1, ...copy } }] } })
  return { def: [def[0]!, file, def[1]!] }
}

test('the content of a directory of a repository is a source, too', () => {
  assert.deepEqual(sourceOf(copying({ src: '/deep/', dest: '/', dirCopyContents: true })), {
    git: 'http://x.test/r.git#main:sub/deep',
    address: { remote: 'http://x.test/r.git', ref: 'main', subdirectory: 'sub/deep', ...unsaid },
  })
  assert.equal((sourceOf(copying({ src: '/', dest: '/' })) as { git: string }).git, 'http://x.test/r.git#main:sub')
})

const unsaid = { checksum: undefined, knownHosts: undefined, agent: undefined }

test('other definitions are refused', () => {
  for (const definition of [
    define('docker-image://docker.io/library/busybox'),
    define('local://context'),
    { def: [...define('https://x.test/f').def, Op.encode({})] },
    { def: [Op.encode({})] },
    copying({ src: '/deep', dest: '/' }),
    copying({ src: '/deep', dest: '/d', dirCopyContents: true }),
    copying({ src: '/deep', dest: '/', dirCopyContents: true, mode: 0o755 }),
    copying({ src: '/deep', dest: '/', dirCopyContents: true, excludePatterns: ['x'] }),
  ])
    assert.throws(() => sourceOf(definition), { code: 'unsupported', message: /low-level definition/ })
})
