import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseReference } from '../../spec/oci/index.ts'
import { debianImage, imageFiles, mirrorsIn, sourcesOf } from './debian.ts'

test('which images the archive can give', () => {
  const of = (name: string) => debianImage(parseReference(name))
  assert.deepEqual(of('debian:bookworm-slim'), { suite: 'bookworm', slim: true })
  assert.deepEqual(of('debian:12'), { suite: 'bookworm', slim: false })
  assert.deepEqual(of('docker.io/library/debian:stable-slim'), { suite: 'trixie', slim: true })
  assert.deepEqual(of('debian'), { suite: 'trixie', slim: false })
  // Exact bytes, other people's images and other registries are not ours to imitate.
  for (const name of [
    'debian:12.5',
    'debian:bookworm-20240101',
    'ubuntu:22.04',
    'me/debian:12',
    'registry.example.com/library/debian:12',
    `debian@sha256:${'a'.repeat(64)}`,
    'debian:constructor',
    'debian:bookworm-backports',
  ])
    assert.equal(of(name), undefined, name)
})

test('mirrors of the machine, in both formats', () => {
  const list = `# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/x.gpg] http://mirror.example/debian/ bookworm main contrib
deb-src http://source.example/debian bookworm main
deb http://sec.example/debian-security bookworm-security main
deb https://packages.example/apt cloud main`
  assert.deepEqual(mirrorsIn([list]), {
    archive: 'http://mirror.example/debian',
    security: 'http://sec.example/debian-security',
  })
  const sources = `Types: deb
URIs: https://packages.example/node
Suites: nodistro
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb deb-src
URIs: http://on.example/debian
Suites: bookworm bookworm-updates
Components: main
 contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg`
  assert.deepEqual(mirrorsIn([sources]), { archive: 'http://on.example/debian' })
  assert.deepEqual(mirrorsIn(['', 'deb cdrom:[x]/ bookworm main', 'deb file:/mnt bookworm main']), {})
})

test('sources and files', () => {
  assert.deepEqual(sourcesOf('sid', 'http://a', 'http://s'), ['deb http://a sid main'])
  assert.equal(sourcesOf('bookworm', 'http://a', 'http://s')[2], 'deb http://s bookworm-security main')
  assert.match(
    imageFiles({ suite: 'sid', slim: true })['etc/dpkg/dpkg.cfg.d/docker']!.text,
    /^path-exclude \/usr\/share\/doc\/\*$/m,
  )
  assert.equal(imageFiles({ suite: 'sid', slim: false })['etc/dpkg/dpkg.cfg.d/docker'], undefined)
})
