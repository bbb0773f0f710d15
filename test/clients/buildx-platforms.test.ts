/** Names that stand for images of several platforms: what is listed of them, and one of the platforms removed. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { startBuildx } from './buildx-kit.ts'
import { type Registry, startRegistry } from './images-kit.ts'

const buildx = startBuildx()
let registry: Registry
after(() => {
  registry?.stop()
  buildx.stop()
})
before(async () => {
  registry = await startRegistry(buildx.dir)
})
const { ok, run, project } = buildx
const Dockerfile = 'FROM scratch\nARG TARGETPLATFORM\nLABEL target=$TARGETPLATFORM\nCOPY busybox /busybox\n'

test('names that share the image for this machine, and stand for more or less with it', async () => {
  const own = project('share', { Dockerfile })
  const build = (platforms: string, ...tags: string[]) =>
    ok(['buildx', 'build', '--platform', platforms, ...tags.flatMap((tag) => ['-t', tag]), own])
  await build('linux/amd64', 'share:1')
  await build('linux/amd64,linux/arm64', 'share:2', 'share:two')
  await build('linux/amd64,linux/arm64,linux/s390x', 'share:3')
  const { stdout } = await ok(['images', '--tree', 'share'])
  const rows = stdout
    .replaceAll(/\x1b\[[0-9;]*m/g, '')
    .split('\n')
    .slice(4)
  assert.deepEqual(rows.map((row) => row.split('  ')[0]!.trim()).filter(Boolean), [
    ...['share:1', 'share:two', 'share:2', '├─ linux/amd64', '└─ linux/arm64'],
    ...['share:3', '├─ linux/amd64', '├─ linux/arm64', '└─ linux/s390x'],
  ])
  const one = (await ok(['images', '--tree', 'share:3'])).stdout
  assert.ok(one.includes('s390x') && !one.includes('share:1'), one)
  // Without the tree it is one image.
  assert.equal((await ok(['images', '-q', 'share'])).stdout.split('\n').filter(Boolean).length, 4)
  await ok(['rmi', 'share:1', 'share:2', 'share:two', 'share:3'])
})

test('one platform of several is removed: from all names, with what is said of it, and the rest stays whole', async () => {
  const names = [`${registry.host}/part:1`, `${registry.host}/part:2`]
  const own = project('part', { Dockerfile })
  const platforms = 'linux/amd64,linux/arm64,linux/s390x'
  await ok(['buildx', 'build', '--platform', platforms, '--provenance=true', '-t', names[0]!, '-t', names[1]!, own])
  const remove = (platform: string) => run(['rmi', '-f', '--platform', platform, names[0]!])
  const removed = async (platform: string): Promise<void> => {
    const { code, stdout, stderr } = await remove(platform)
    assert.equal(code, 0, stderr)
    assert.match(stdout, /^Deleted: sha256:\w{64}\n$/)
  }
  const pushed = async (): Promise<(string | undefined)[]> => {
    await ok(['push', '-q', names[1]!])
    const { manifests } = JSON.parse((await ok(['manifest', 'inspect', '--insecure', names[1]!])).stdout)
    return (manifests as { platform?: { architecture: string } }[]).map(({ platform }) => platform?.architecture)
  }
  const architecture = async (): Promise<string> =>
    (await ok(['image', 'inspect', '-f', '{{.Architecture}}', names[0]!])).stdout.trim()
  await removed('linux/arm64')
  assert.match((await remove('linux/arm64')).stderr, /does not provide the specified platform \(linux\/arm64\)/)
  assert.deepEqual(await pushed(), ['amd64', 's390x', 'unknown', 'unknown'])
  // A container that runs keeps its image; when that has gone, the name means what is left.
  await ok(['run', '-d', '--name', 'part', names[1]!, '/busybox', 'sleep', '1000'])
  assert.match((await remove('linux/amd64')).stderr, /image is being used by running container/)
  await ok(['rm', '-f', 'part'])
  const id = (await ok(['image', 'inspect', '-f', '{{.Id}}', names[0]!])).stdout.trim()
  await removed('linux/amd64')
  assert.match((await run(['image', 'inspect', id])).stderr, /No such image/)
  assert.equal(await architecture(), 's390x')
  assert.deepEqual(await pushed(), ['s390x', 'unknown'])
  const tar = join(buildx.dir, 'part.tar')
  await ok(['save', '-o', tar, names[1]!])
  await ok(['rmi', names[1]!])
  await ok(['load', '-i', tar])
  assert.equal(await architecture(), 's390x')
  assert.match((await ok(['rmi', '--platform', 'linux/s390x', names[0]!])).stdout, /^Untagged: /)
  assert.match((await ok(['rmi', names[1]!])).stdout, /^Untagged: .*\n(.*\n)*Deleted: /)
})
