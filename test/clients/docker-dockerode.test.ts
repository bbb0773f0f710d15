/** dockerode, on which testcontainers and most tools in JavaScript stand: each of its ways to talk to an engine. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough, type Readable, Writable } from 'node:stream'
import { after, afterEach, test } from 'node:test'
import { startDocker, until } from './docker-kit.ts'
import { npmClients } from './tools.ts'

const docker = startDocker()
after(() => docker.stop())
afterEach(() => docker.clean())
const Dockerode = npmClients()('dockerode')
const client = new Dockerode({ socketPath: docker.instance.dockerSocket })

/** Keeps what is written to it. */
const sink = (): Writable & { text(): string } => {
  const chunks: Buffer[] = []
  const write = (chunk: Buffer, _: unknown, done: () => void): void => {
    chunks.push(chunk)
    done()
  }
  return Object.assign(new Writable({ write }), { text: () => Buffer.concat(chunks).toString() })
}
const textOf = async (stream: Readable): Promise<string> => Buffer.concat(await stream.toArray()).toString()
/** Frames taken apart, once the stream has ended. */
const demuxed = async (stream: Readable): Promise<[string, string]> => {
  const [out, err] = [sink(), sink()]
  client.modem.demuxStream(stream, out, err)
  if (!stream.readableEnded) await once(stream, 'end')
  return [out.text(), err.text()]
}
const running = async (options: object = {}) => {
  const container = await client.createContainer({ Image: 'busybox', Cmd: ['sleep', '100'], ...options })
  await container.start()
  return container
}
const followed = (stream: Readable): Promise<Record<string, unknown>[]> =>
  new Promise((resolve, reject) =>
    client.modem.followProgress(stream, (error: Error | null, all: Record<string, unknown>[]) =>
      error ? reject(error) : resolve(all),
    ),
  )

test('run: output to streams, both apart, the exit code; with a terminal all in one', async () => {
  const [out, err] = [sink(), sink()]
  const [result, container] = await client.run('busybox', ['sh', '-c', 'echo out; echo err >&2; exit 4'], [out, err], {
    Tty: false,
  })
  assert.equal(result.StatusCode, 4)
  // The program's end may be told before the last of its output.
  await until('the output', async () => out.text() === 'out\n' && err.text() === 'err\n')
  await container.remove()
  const all = sink()
  const [ended] = await client.run('busybox', ['sh', '-c', 'echo out; echo err >&2'], all, {
    HostConfig: { AutoRemove: true },
  })
  assert.equal(ended.StatusCode, 0)
  await until('the output', async () => all.text() === 'out\r\nerr\r\n')
})

test('attach: input over an upgraded connection and over a plain one', async () => {
  for (const hijack of [true, false]) {
    const container = await client.createContainer({
      ...{ Image: 'busybox', Cmd: ['cat'], OpenStdin: true, StdinOnce: true },
      ...{ AttachStdin: true, AttachStdout: true, AttachStderr: true },
    })
    const stream = await container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack })
    const seen = demuxed(stream)
    await container.start()
    stream.write('typed\n')
    if (hijack) stream.end()
    else await until('the echo', async () => (await container.logs({ stdout: true })).toString().includes('typed'))
    if (!hijack) await container.kill()
    assert.deepEqual(await seen, ['typed\n', ''], `hijack: ${hijack}`)
    const { StatusCode } = await container.wait()
    assert.equal(StatusCode, hijack ? 0 : 137)
  }
})

test('exec: with and without input, a terminal and its size, what it says of itself', async () => {
  const container = await running()
  const plain = await container.exec({
    Cmd: ['sh', '-c', 'echo a; echo b >&2; exit 3'],
    AttachStdout: true,
    AttachStderr: true,
  })
  assert.deepEqual(await demuxed(await plain.start({})), ['a\n', 'b\n'])
  assert.equal((await plain.inspect()).ExitCode, 3)
  const cat = await container.exec({ Cmd: ['cat'], AttachStdin: true, AttachStdout: true })
  const stream = await cat.start({ hijack: true, stdin: true })
  stream.end('input')
  assert.deepEqual(await demuxed(stream), ['input', ''])
  const shell = await container.exec({ Cmd: ['sh'], AttachStdin: true, AttachStdout: true, Tty: true })
  const terminal = await shell.start({ hijack: true, stdin: true, Tty: true })
  await shell.resize({ h: 31, w: 97 })
  terminal.write('stty size; exit\n')
  assert.match(await textOf(terminal), /31 97/)
})

test('logs: at once and followed; stats: once and as a stream; top', async () => {
  const container = await running({ Cmd: ['sh', '-c', 'for i in 1 2 3; do echo $i; sleep 0.1; done'] })
  assert.deepEqual(await demuxed(await container.logs({ follow: true, stdout: true, stderr: true })), ['1\n2\n3\n', ''])
  assert.ok(Buffer.isBuffer(await container.logs({ stdout: true, tail: 1 })))
  const other = await running()
  assert.ok((await other.stats({ stream: false })).memory_stats.usage > 0)
  const stats = await other.stats()
  const [first] = (await once(stats, 'data')) as [Buffer]
  assert.equal(JSON.parse(first.toString()).id, other.id)
  stats.destroy()
  assert.equal((await other.top()).Processes.length, 1)
})

test('events of a life, in order; a wait for what is removed; names that change', async () => {
  const events = await client.getEvents({ filters: { type: ['container'], label: ['of=this'] } })
  const seen: string[] = []
  events.on('data', (chunk: Buffer) => {
    for (const line of chunk.toString().split('\n')) if (line.trim()) seen.push(JSON.parse(line).Action)
  })
  const container = await running({ Labels: { of: 'this' }, name: 'before' })
  await container.rename({ name: 'after' })
  await container.pause()
  await container.unpause()
  const removed = container.wait({ condition: 'removed' })
  await container.remove({ force: true })
  assert.equal((await removed).StatusCode, 137)
  await until('the last event', async () => seen.at(-1) === 'destroy')
  assert.deepEqual(seen, ['create', 'start', 'rename', 'pause', 'unpause', 'kill', 'die', 'destroy'])
  events.destroy()
})

test('archives in and out of a container; its changes, its file system', async () => {
  const container = await running()
  await container.putArchive(await client.getContainer(container.id).getArchive({ path: '/etc/passwd' }), {
    path: '/tmp',
  })
  const copied = await container.exec({ Cmd: ['cat', '/tmp/passwd'], AttachStdout: true })
  assert.match((await demuxed(await copied.start({})))[0], /^root:/)
  assert.deepEqual(await container.changes(), [
    { Path: '/tmp', Kind: 0 },
    { Path: '/tmp/passwd', Kind: 1 },
  ])
  const stat = JSON.parse(
    Buffer.from(
      (await container.infoArchive({ path: '/tmp/passwd' })).headers['x-docker-container-path-stat'],
      'base64',
    ).toString(),
  )
  assert.equal(stat.name, 'passwd')
  assert.ok((await textOf(await container.export())).includes('bin/busybox'))
})

test('images: built from files, with progress; by BuildKit; saved, loaded, imported, tagged, committed', async () => {
  writeFileSync(join(docker.dir, 'Dockerfile'), 'FROM busybox\nCOPY added /added\nRUN cat /added\n')
  writeFileSync(join(docker.dir, 'added'), 'content of it\n')
  const context = { context: docker.dir, src: ['Dockerfile', 'added'] }
  const classic = await followed(await client.buildImage(context, { t: 'classic' }))
  assert.ok(classic.some(({ stream }) => stream === 'content of it\n'))
  assert.deepEqual(classic.at(-1), { stream: 'Successfully tagged classic:latest\n' })
  const kit = await followed(await client.buildImage(context, { t: 'kit', version: '2' }))
  assert.match((kit.at(-1) as { aux: { ID: string } }).aux.ID, /^sha256:[0-9a-f]{64}$/)
  const image = client.getImage('classic')
  assert.equal((await image.history())[0].CreatedBy, 'RUN /bin/sh -c cat /added # buildkit')
  const saved = Buffer.concat(await (await image.get()).toArray())
  await image.remove()
  await assert.rejects(image.inspect(), { statusCode: 404 })
  const loading = new PassThrough()
  loading.end(saved)
  assert.deepEqual((await followed(await client.loadImage(loading))).at(-1), {
    stream: 'Loaded image: classic:latest\n',
  })
  await image.tag({ repo: 'second', tag: 'x' })
  const container = await running({ Image: 'second:x' })
  await container.commit({ repo: 'third', changes: 'LABEL a=b' })
  assert.equal((await client.getImage('third').inspect()).Config.Labels.a, 'b')
  const found = await client.listImages({ filters: { reference: ['third'] } })
  assert.deepEqual(
    found.map((one: { RepoTags: string[] }) => one.RepoTags),
    [['third:latest']],
  )
})

test('networks and volumes; what is there as a whole', async () => {
  const network = await client.createNetwork({ Name: 'rode-net', Labels: { a: 'b' } })
  const container = await running()
  await network.connect({ Container: container.id, EndpointConfig: { Aliases: ['other'] } })
  assert.deepEqual(Object.keys((await network.inspect()).Containers), [container.id])
  assert.deepEqual((await container.inspect()).NetworkSettings.Networks['rode-net'].Aliases, ['other'])
  await network.disconnect({ Container: container.id })
  await network.remove()
  const volume = await client.createVolume({ Name: 'rode-vol', Labels: { a: 'b' } })
  assert.equal((await client.listVolumes({ filters: { label: ['a=b'] } })).Volumes.length, 1)
  await volume.remove()
  assert.equal((await client.ping()).toString(), 'OK')
  assert.equal((await client.version()).Version, (await client.info()).ServerVersion)
  assert.ok((await client.df()).LayersSize > 0)
  await assert.rejects(client.getContainer('nope').inspect(), { statusCode: 404, reason: 'no such container' })
})
