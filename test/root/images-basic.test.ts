import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createImages } from '../../src/engine/images/index.ts'
import { createSnapshots } from '../../src/engine/snapshots/index.ts'
import { isError } from '../../src/errors.ts'
import { packTar, tarEntry } from '../../src/lib/tar/index.ts'
import { temporaryHome } from './images-setup.ts'

const home = temporaryHome()
const snapshots = createSnapshots(home.deps)
let inUse: string[] = []
const images = createImages(home.deps, snapshots, { imageInUse: () => inUse })
after(async () => {
  await snapshots.close()
  home.remove()
})
const rootfs = (files: Record<string, string>) =>
  packTar(
    Object.entries(files).map(([path, text]) => ({
      entry: tarEntry({ path, size: text.length }),
      body: Buffer.from(text),
    })),
  )

test('import, run on it, build on it, remove', async () => {
  const base = await images.import(rootfs({ 'etc/hello': 'hello', 'etc/gone': 'x' }), { name: 'base' })
  assert.deepEqual(base.names, ['docker.io/library/base:latest'])
  assert.equal((await images.must('base')).id, base.id)
  assert.equal((await images.must(base.id.slice(7, 19))).id, base.id)
  assert.equal(base.size, 6)

  const mount = await snapshots.prepare('step', base.snapshots[0])
  const target = join(home.dir, 'mnt')
  mkdirSync(target)
  home.deps.sys.mounts.mount({ ...mount, target })
  assert.equal(readFileSync(join(target, 'etc/hello'), 'utf8'), 'hello')
  writeFileSync(join(target, 'etc/new'), 'new')
  const { unlinkSync, renameSync } = await import('node:fs')
  unlinkSync(join(target, 'etc/gone'))
  mkdirSync(join(target, 'a'))
  renameSync(join(target, 'a'), join(target, 'b'))
  home.deps.sys.mounts.unmount(target)
  assert.deepEqual(await snapshots.changes('step'), [
    { path: '/b', kind: 'added' },
    { path: '/etc', kind: 'modified' },
    { path: '/etc/gone', kind: 'deleted' },
    { path: '/etc/new', kind: 'added' },
  ])
  await snapshots.commit('step', 'step-done')
  const config = { os: 'linux', architecture: 'amd64', config: { Cmd: ['x'] }, history: [] }
  const built = await images.create({ config, snapshots: [...base.snapshots, 'step-done'], name: 'built:1' })
  assert.equal(
    (
      await images.create({
        config: { history: [], config: { Cmd: ['x'] }, architecture: 'amd64', os: 'linux' },
        snapshots: [...base.snapshots, 'step-done'],
      })
    ).id,
    built.id,
  )
  assert.equal(built.config.rootfs.diff_ids[0], base.config.rootfs.diff_ids[0])

  // The base goes, its layer stays for the image on top of it.
  assert.deepEqual(await images.remove('base'), [{ untagged: 'base:latest' }, { deleted: base.id }])
  assert.ok(existsSync((await snapshots.stat(base.snapshots[0]!))!.path))
  inUse = ['c'.repeat(64)]
  await assert.rejects(
    images.remove('built:1'),
    (error) =>
      isError(error, 'conflict') &&
      /unable to remove repository reference "built:1" \(must force\) - container cccccccccccc is using/.test(
        error.message,
      ),
  )
  inUse = []
  await images.tag('built:1', 'other:2')
  assert.deepEqual(await images.remove('built:1'), [{ untagged: 'built:1' }])
  await assert.rejects(images.remove('nope'), { message: 'No such image: nope:latest' })
  await images.remove('other:2')
  // The builder's own snapshot is the builder's to remove; with it the base layer goes.
  await snapshots.remove('step-done')
  assert.deepEqual(await snapshots.list(), [])
})
