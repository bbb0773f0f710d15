/** debian:SUITE from the package archive. Needs mmdebstrap and Debian's archive. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createImages } from '../../src/engine/images/index.ts'
import { createSnapshots } from '../../src/engine/snapshots/index.ts'
import type { TransferProgress } from '../../src/engine/types.ts'
import { isError } from '../../src/errors.ts'
import { temporaryHome } from './images-setup.ts'

const home = temporaryHome()
const snapshots = createSnapshots(home.deps)
const cache = join(home.dir, 'cache')
// A registry that is not there, whatever the machine's network.
const registries = { mirrors: {} }
const images = createImages(home.deps, snapshots, { imageInUse: () => [] }, { registries, bootstrap: { cache } })
after(async () => {
  await snapshots.close()
  home.remove()
})

test('debian:bookworm-slim is built when it cannot be pulled, once', async () => {
  const steps: TransferProgress[] = []
  const image = await images.bootstrap('debian:bookworm-slim', { progress: (step) => void steps.push(step) })
  assert.deepEqual(image.names, ['docker.io/library/debian:bookworm-slim'])
  assert.equal(image.bootstrapped, true)
  assert.equal(image.config.config?.Labels?.['slipway.bootstrapped'], 'bookworm-slim-' + image.platform.architecture)
  assert.deepEqual(image.config.config?.Cmd, ['bash'])
  assert.ok(steps.some((step) => step.status.startsWith('Installing')))
  const root = (await snapshots.stat(image.snapshots[0]!))!.path
  assert.ok(existsSync(join(root, 'usr/bin/apt-get')))
  assert.deepEqual(readdirSync(join(root, 'dev')), [])
  assert.ok(!existsSync(join(root, 'usr/share/man/man1')))
  assert.ok(existsSync(join(root, 'usr/share/doc/bash/copyright')))
  assert.equal(readFileSync(join(root, 'etc/hostname'), 'utf8'), 'debian\n')
  assert.equal(readFileSync(join(root, 'etc/resolv.conf'), 'utf8'), '')
  assert.ok(
    existsSync(join(root, 'etc/dpkg/dpkg.cfg.d/docker')) && !existsSync(join(root, 'etc/dpkg/dpkg.cfg.d/99mmdebstrap')),
  )
  assert.match(readFileSync(join(root, 'etc/apt/sources.list'), 'utf8'), /bookworm-security main/)
  assert.match(
    execFileSync('chroot', [root, '/bin/sh', '-c', 'apt-get --version && id -un'], { encoding: 'utf8' }),
    /root\n$/,
  )

  // Another instance takes it from the cache and gets the very same image.
  const other = temporaryHome()
  const theirs = createSnapshots(other.deps)
  try {
    const second = createImages(other.deps, theirs, { imageInUse: () => [] }, { bootstrap: { cache } })
    steps.length = 0
    const progress = (step: TransferProgress): void => void steps.push(step)
    assert.equal((await second.bootstrap('debian:bookworm-slim', { progress })).id, image.id)
    assert.ok(!steps.some((step) => step.status.startsWith('Installing')), 'the cache was not used')
    assert.deepEqual((await second.bootstrap('debian:12-slim')).id, image.id)
  } finally {
    await theirs.close()
    other.remove()
  }
  assert.deepEqual(
    readdirSync(cache),
    ['bookworm-slim-amd64.tar.zst'].map((name) => name.replace('amd64', image.platform.architecture)),
  )
})

test('what cannot be built, or may not', async () => {
  await assert.rejects(images.bootstrap('ubuntu:22.04'), (error) => isError(error, 'invalid'))
  await assert.rejects(images.bootstrap('debian:12.5'), (error) => isError(error, 'invalid'))
  await assert.rejects(images.pull('registry.invalid/library/debian:12'), (error) => isError(error, 'unavailable'))
})

test('a cache that somebody else could write to is not trusted', async () => {
  const open = join(home.dir, 'open')
  mkdirSync(open, { mode: 0o777 })
  execFileSync('chmod', ['777', open])
  const arch = process.arch === 'x64' ? 'amd64' : process.arch
  writeFileSync(join(open, `trixie-slim-${arch}.tar.zst`), 'evil')
  utimesSync(join(open, `trixie-slim-${arch}.tar.zst`), new Date(), new Date())
  const stop = new AbortController()
  const other = createImages(home.deps, snapshots, { imageInUse: () => [] }, { bootstrap: { cache: open } })
  const steps: string[] = []
  const building = other.bootstrap('debian:trixie-slim', {
    signal: stop.signal,
    progress: (step) => {
      steps.push(step.status)
      if (/^Downloading/.test(step.status)) stop.abort()
    },
  })
  await assert.rejects(building, (error) => isError(error, 'cancelled'))
  assert.deepEqual(steps[0], "Building from Debian's package archive")
  // The abort left nothing.
  assert.deepEqual(readdirSync(join(home.deps.instance.stateDir, 'bootstrap')), [])
  assert.equal(await images.get('debian:trixie-slim'), undefined)
})
