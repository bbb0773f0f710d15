/** Steps that fail, builds that are cancelled, daemons that are killed. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { after, before, test } from 'node:test'
import type { Image } from '../../src/engine/types.ts'
import { isError, type SlipwayError } from '../../src/errors.ts'
import { readTar } from '../../src/lib/tar/index.ts'
import type { BuildRoom } from './build-room.ts'
import { contextsLeft, openBuildRoom } from './build-room.ts'

let room: BuildRoom
before(async () => {
  room = await openBuildRoom()
})
after(() => room?.close())

type Failure = SlipwayError & { text: string; details: Record<string, unknown> }
const failure = async (text: string, options = {}): Promise<Failure> => {
  try {
    await room.build(text, options)
  } catch (error) {
    assert.ok(isError(error), String(error))
    return error as Failure
  }
  return assert.fail('the build did not fail')
}

/** Names in the last layer of an image, as an archive of it would have them. */
const layerPaths = async ({ image }: { image: Image }): Promise<string[]> => {
  const names: string[] = []
  for await (const { entry } of readTar(await room.engine.snapshots.diff(image.snapshots.at(-1)!)))
    names.push(entry.path)
  return names
}

/** What a build may have left: mounts, workspaces, snapshots of steps, sandboxes, processes. */
const nothingLeft = async (): Promise<void> => {
  const { sys, instance, engine } = room
  assert.deepEqual(sys.mounts.below(join(instance.runDir, 'build')), [])
  const work = join(instance.runDir, 'build')
  assert.deepEqual(existsSync(work) ? readdirSync(work) : [], [])
  assert.deepEqual(
    (await engine.snapshots.list()).filter(({ state }) => state === 'active'),
    [],
  )
  assert.deepEqual(engine.sandboxes.list(), [])
  assert.deepEqual(sys.cgroups.pids(instance.cgroupParent), [])
}

test('a failing step: code, line, stage, last lines, source', async () => {
  const error = await failure('FROM base:1 AS web\nRUN true\n\nRUN seq 1 30; \\\n  echo bad >&2; exit 7\n')
  assert.equal(error.code, 'invalid')
  assert.match(
    error.message,
    /^process "\/bin\/sh -c seq 1 30; {3}echo bad >&2; exit 7" did not complete successfully: exit code: 7$/,
  )
  assert.deepEqual(error.at, { file: 'Dockerfile', line: 4, column: 1 })
  const { stage, exitCode, output, source } = error.details
  assert.deepEqual([stage, exitCode], ['web', 7])
  assert.match(String(output), /^12\n[\s\S]*30\nbad$/)
  assert.match(String(source), /> RUN seq 1 30; \\\n {5}\| {5}\^\n {3}5 \| >>> {3}echo bad/)
  assert.match(error.text, /ERROR: failed to build: failed to solve: process/)
  await nothingLeft()
})

test('a program that is not there', async () => {
  const error = await failure('FROM scratch\nRUN ["/none"]')
  assert.equal(error.details.exitCode, 127)
  assert.equal(String(error.details.output).match(/\/none/g)?.length, 1, String(error.details.output))
  await nothingLeft()
})

test('an image that is not there', async () => {
  const error = await failure('FROM localhost:1/nope:2')
  assert.match(error.message, /^localhost:1\/nope:2: failed to resolve source metadata for localhost:1\/nope:2: /)
  assert.equal(error.at?.line, 1)
})

test('privileged steps are refused unless the build allows them', async () => {
  assert.match((await failure('FROM base:1\nRUN --security=insecure true')).message, /security.insecure is not allowed/)
  await room.build('FROM base:1\nRUN --security=insecure mount -t tmpfs none /tmp', { privileged: true })
  await nothingLeft()
})

test('the rest of the graph stops with a failure', async () => {
  const error = await failure(
    'FROM base:1 AS slow\nRUN sleep 100000\nFROM base:1 AS bad\nRUN sleep 0.3; exit 9\nFROM base:1\nCOPY --from=slow /a /\nCOPY --from=bad /a /',
  )
  assert.equal(error.details.exitCode, 9)
  await nothingLeft()
})

test('a cancelled build stops its step and leaves nothing', async () => {
  const stop = new AbortController()
  const error = await failure('FROM base:1\nRUN echo up; sleep 100000', {
    signal: stop.signal,
    watch: (event: { type: string }) => event.type === 'log' && stop.abort(),
  })
  assert.equal(error.code, 'cancelled')
  assert.match(error.text, /#\d+ CANCELED\n/)
  await nothingLeft()
})

test('a pipe, or a link out of the context, as a Dockerfile or its list of what to ignore: nobody waits, nothing is read', async () => {
  const files = { Dockerfile: 'FROM scratch\nCOPY a /\n', a: '' }
  const directory = room.context(files)
  execFileSync('mkfifo', [join(directory, '.dockerignore'), join(directory, 'pipe')])
  const secret = join(room.context({ f: 'FROM secret' }), 'f')
  symlinkSync(secret, join(directory, 'out'))
  symlinkSync('/dev/zero', join(directory, 'Dockerfile.dockerignore'))
  const tar = (): Readable => Readable.from([execFileSync('tar', ['-C', directory, '-c', '.'])])
  for (const context of [() => ({ directory }), () => ({ tar: tar() })]) {
    await room.build('', { context: context(), dockerfile: { path: 'Dockerfile' } })
    const { message } = await failure('', { context: context(), dockerfile: { path: 'pipe' } })
    assert.equal(message, 'failed to read dockerfile: open pipe: is not a regular file')
  }
  for (const path of ['out', secret]) {
    const { message } = await failure('', { context: { tar: tar() }, dockerfile: { path } })
    assert.equal(message, `failed to read dockerfile: open ${path}: no such file or directory`)
  }
})

test('a context stream that stalls ends with the build; a damaged one is an error', async () => {
  const stop = new AbortController()
  const tar = new PassThrough()
  tar.write(Buffer.alloc(100))
  setTimeout(() => stop.abort(), 100)
  assert.equal((await failure('', { context: { tar }, dockerfile: undefined, signal: stop.signal })).code, 'cancelled')
  const damaged = Readable.from([Buffer.alloc(2000, 'x')])
  assert.ok(isError(await failure('', { context: { tar: damaged }, dockerfile: undefined }), 'invalid'))
  assert.deepEqual(await contextsLeft(room), [])
  const none = await room.build('FROM base:1\nCOPY * /none/\nRUN true', { context: { none: true } })
  assert.equal(none.changed, true)
})

test('a step another build still wants goes on', async () => {
  const stop = new AbortController()
  const text = 'FROM base:1\nRUN echo up; sleep 1; echo wanted > /w'
  const first = failure(text, {
    signal: stop.signal,
    watch: (event: { type: string }) => event.type === 'log' && setTimeout(() => stop.abort(), 200),
  })
  const second = room.build(`${text}\nENV x=1`)
  assert.equal((await first).code, 'cancelled')
  const result = await second
  assert.equal(await room.file(result, '/w'), 'wanted\n')
  assert.equal((result.text.match(/ up\n/g) ?? []).length, 1)
  await nothingLeft()
})

test('network and hosts of a step', async () => {
  const result = await room.build('FROM base:1\nRUN --network=none ls /sys/class/net\nRUN cat /etc/hosts', {
    extraHosts: [{ name: 'db.test', address: '10.1.2.3' }],
  })
  assert.match(result.text, / lo\n/)
  assert.doesNotMatch(result.text, / eth0\n/)
  assert.match(result.text, /10\.1\.2\.3\s+db\.test/)
  await room.rootfs(result, (root) => {
    assert.equal(existsSync(join(root, 'etc/hosts')), false)
    assert.equal(existsSync(join(root, 'etc/resolv.conf')), false)
    assert.deepEqual(readdirSync(root).sort(), ['bin', 'etc', 'root', 'tmp', 'usr'])
  })
  // The directories around mount points have not changed.
  assert.deepEqual(await layerPaths(result), [])
})

test('the layer of a RUN: what the program did, also to what was made for a mount, and no mount point', async () => {
  const lines = (...commands: string[]): string =>
    commands.map((command) => `RUN ["/busybox", "sh", "-c", "${command}"]`).join('\n')
  const scratch = 'FROM scratch\nCOPY --from=base:1 /bin/busybox /busybox\n'
  const mounts = '--mount=type=cache,target=/var/cache/x --mount=type=tmpfs,target=/opt/t --mount=type=ssh'
  const cases: [string, string[]][] = [
    [`FROM base:1\nRUN ${mounts} true`, []],
    [`FROM base:1\nRUN ${mounts} mkdir /etc/dir && chmod 700 /tmp`, ['etc/', 'etc/dir/', 'tmp/']],
    [`FROM base:1\nRUN touch /etc/x && rm /etc/x`, ['etc/']],
    [`${scratch}${lines('true')}`, []],
    [`${scratch}${lines('echo 1 > /etc/x; /busybox mkdir /q /dev/unseen')}`, ['etc/', 'etc/x', 'q/']],
    [`${scratch}${lines('/busybox chmod 700 /etc')}`, ['etc/']],
  ]
  for (const [text, expected] of cases) assert.deepEqual(await layerPaths(await room.build(text)), expected, text)
})

test('users, heredoc scripts, shells', async () => {
  const result = await room.build(
    'FROM base:1\nUSER app\nRUN id -u; id -g\nUSER 55\nRUN id -u\nUSER root\nRUN <<EOF\n#!/bin/sh -eu\necho "script $0"\nEOF\nRUN <<EOF cat > /doc\nline\nEOF\nSHELL ["/bin/sh", "-xc"]\nRUN echo $((1+1))\n',
  )
  assert.match(result.text, / 1000\n[\s\S]* 1001\n[\s\S]* 55\n[\s\S]* script \/dev\/pipes\/EOF\n[\s\S]*\+ echo 2\n/)
  assert.equal(await room.file(result, '/doc'), 'line\n')
})

test('an ssh agent: mounted where it is given, left out where it is not required', async () => {
  const path = join(room.home, 'agent.sock')
  const agent = createServer()
  await new Promise<void>((listening) => agent.listen(path, listening))
  try {
    const text = 'FROM base:1\nRUN --mount=type=ssh test -S "$SSH_AUTH_SOCK" && echo "agent $SSH_AUTH_SOCK"'
    assert.match((await room.build(text, { ssh: [`default=${path}`] })).text, /agent \/run\/buildkit\/ssh_agent\.0\n/)
    await room.build('FROM base:1\nRUN --mount=type=ssh test -z "$SSH_AUTH_SOCK"')
    const required = await failure('FROM base:1\nRUN --mount=type=ssh,id=k,required true')
    assert.match(required.message, /unset ssh forward key k/)
  } finally {
    agent.close()
  }
  await nothingLeft()
})

test('a snapshot a kill left without a record is dropped', async () => {
  const { snapshots } = room.engine
  await snapshots.prepare('build-active-x', undefined)
  await snapshots.commit('build-active-x', 'build-orphan')
  await room.again()
  assert.equal(await snapshots.stat('build-orphan'), undefined)
})

test('kill -9 of the daemon: the next one cleans up and builds on', async () => {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'build-victim.ts'), room.home], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    await new Promise<void>((running, failed) => {
      child.stdout.once('data', () => running())
      child.once('exit', (code) => failed(new Error(`it ended with ${code}`)))
    })
  } finally {
    child.kill('SIGKILL')
  }
  await new Promise((gone) => child.once('close', gone))
  assert.notDeepEqual(
    room.sys.mounts.below(join(room.instance.runDir, 'build')),
    [],
    'the kill came too late to test anything',
  )
  const next = await room.again()
  await nothingLeft()
  const result = await next.build('FROM base:1\nRUN echo done > /first\nRUN echo after')
  assert.ok(result.cached.some((name) => name.endsWith('RUN echo done > /first')))
  assert.doesNotMatch(readFileSync('/proc/self/mountinfo', 'utf8'), new RegExp(`${room.instance.runDir}/build`))
})
