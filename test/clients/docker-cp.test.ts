/** docker cp: what is mounted into a container that does not run, and clients that go away. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { after, afterEach, test } from 'node:test'
import { startDocker } from './docker-kit.ts'

const docker = startDocker()
after(() => docker.stop())
afterEach(() => docker.clean())
const { ok, fails, dir, instance } = docker

test('binds and volumes of a stopped container, read-only ones too', async () => {
  for (const name of ['rw', 'ro']) mkdirSync(join(dir, name), { recursive: true })
  writeFileSync(join(dir, 'file'), 'sent\n')
  writeFileSync(join(dir, 'ro/there'), 'kept\n')
  await ok(
    'create',
    '--name',
    'cc',
    '-v',
    `${dir}/rw:/rw`,
    '-v',
    `${dir}/ro:/ro:ro`,
    '-v',
    'vol:/vol',
    'busybox',
    'true',
  )
  for (const to of ['/rw/in', '/vol/in']) await ok('cp', join(dir, 'file'), `cc:${to}`)
  assert.equal(readFileSync(join(dir, 'rw/in'), 'utf8'), 'sent\n')
  assert.equal(await ok('run', '--rm', '-v', 'vol:/v', 'busybox', 'cat', '/v/in'), 'sent')
  await ok('cp', 'cc:/ro/there', join(dir, 'out'))
  assert.equal(readFileSync(join(dir, 'out'), 'utf8'), 'kept\n')
  await fails(1, 'cp', join(dir, 'file'), 'cc:/ro/in')
  assert.equal(existsSync(join(dir, 'ro/in')), false)
})

for (const [what, path] of [
  ['archive', '/archive?path=/bin'],
  ['export', '/export'],
])
  test(`${what}: a client that goes away leaves the container free`, async () => {
    await ok('create', '--name', 'cc', 'busybox', 'true')
    await new Promise<void>((gone, failed) => {
      const req = request({ socketPath: instance.dockerSocket, path: `/containers/cc${path}` }, (res) => {
        res.once('data', () => res.destroy())
        res.once('close', gone)
      })
      req.once('error', failed).end()
    })
    await ok('rm', 'cc')
  })
