/** Every state a container can be in when its daemon goes away, under every restart policy: what the next daemon makes of it. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, afterEach, test } from 'node:test'
import { removeTraces } from '../../src/reset.ts'
import { instanceOf } from '../../src/instance.ts'
import { silentLog } from '../../src/lib/log.ts'
import { createLinux } from '../../src/sys/linux/index.ts'
import { endSupervisor } from '../../src/sys/supervisor.ts'
import { startDocker, until } from './docker-kit.ts'

const docker = startDocker()
after(() => docker.stop())
afterEach(() => docker.clean())
const { home, slipway } = docker.instance
const instance = instanceOf({ SLIPWAY_HOME: home })
const gate = join(docker.dir, 'gate')
mkdirSync(gate)
execFileSync('mkfifo', [join(gate, 'fifo')])

interface Seen {
  Id: string
  RestartCount: number
  State: {
    Status: string
    ExitCode: number
    Pid: number
    Error: string
    StartedAt: string
    FinishedAt: string
    Health?: { Status: string }
  }
}
const inspect = async (names: string[]): Promise<Map<string, Seen>> =>
  new Map((JSON.parse(await docker.ok('inspect', ...names)) as Seen[]).map((seen, i) => [names[i]!, seen]))

const policies = ['no', 'on-failure', 'on-failure:2', 'always', 'unless-stopped']
/** What happens to a container, and whether it happens before the daemon goes away or while it is away. */
const fates = ['untouched', 'stopped', 'ends0', 'ends7', 'killed', 'unwatched', 'lost'] as const
type Fate = (typeof fates)[number]
const cases = fates.flatMap((fate) =>
  policies.map((policy) => ({ fate, policy, name: `${fate}-${policy.replace(':', '-')}` })),
)
const names = cases.map(({ name }) => name)

const program: Record<Fate, string[]> = {
  untouched: ['sleep', '1000'],
  stopped: ['sleep', '1000'],
  ends0: ['sh', '-c', 'read x < /gate/fifo; exit 0'],
  ends7: ['sh', '-c', 'read x < /gate/fifo; exit 7'],
  killed: ['sleep', '1000'],
  unwatched: ['sleep', '1000'],
  lost: ['sleep', '1000'],
}

/** As docker's table of policies says; `again`: it runs anew. */
const expected = (
  fate: Fate,
  policy: string,
): { status: string; exitCode?: number; again?: boolean; count: number } => {
  const code = { untouched: 0, stopped: 137, ends0: 0, ends7: 7, killed: 137, unwatched: 137, lost: 137 }[fate]
  if (fate === 'untouched') return { status: 'running', count: 0 }
  const again =
    policy === 'always' ||
    (fate !== 'stopped' && (policy === 'unless-stopped' || (policy.startsWith('on-failure') && code !== 0)))
  // A container that somebody had stopped is started with the daemon: that is no restart of a program that died.
  return again
    ? { status: 'running', again, count: fate === 'stopped' ? 0 : 1 }
    : { status: 'exited', exitCode: code, count: 0 }
}

/** `docker run -d`, without a client's process for each. */
const runContainer = async (name: string, policy: string, Cmd: string[], more: object = {}): Promise<void> => {
  const [Name, retries = '0'] = policy.split(':')
  const HostConfig = {
    Binds: [`${gate}:/gate`],
    NetworkMode: 'none',
    RestartPolicy: { Name, MaximumRetryCount: Number(retries) },
    ...more,
  }
  const made = await docker.api('POST', `/containers/create?name=${name}`, { Image: 'busybox', Cmd, HostConfig })
  assert.equal(made.status, 201, made.body)
  const started = await docker.api('POST', `/containers/${name}/start`)
  assert.equal(started.status, 204, started.body)
}

const monitorOf = ({ Id }: Seen): number => Number(readFileSync(join(home, 'run/containers', Id, 'conmon.pid'), 'utf8'))
const kill = (pid: number): boolean => process.kill(pid, 'SIGKILL')
const gone = (pid: number): Promise<unknown> => until(`the end of ${pid}`, async () => !existsSync(`/proc/${pid}/exe`))
const daemonPid = (): number => (JSON.parse(readFileSync(join(home, 'run/daemon.json'), 'utf8')) as { pid: number }).pid

/** The daemon, and who would start it again. */
const killDaemon = async (): Promise<void> => {
  const pid = daemonPid()
  endSupervisor(instance.runDir)
  kill(pid)
  await gone(pid)
}

const letThemDie = async (before: Map<string, Seen>): Promise<void> => {
  for (const { fate, name } of cases) {
    const seen = before.get(name)!
    if (fate === 'killed' || fate === 'lost') kill(seen.State.Pid)
    if (fate === 'unwatched' || fate === 'lost') kill(monitorOf(seen))
  }
  writeFileSync(join(gate, 'fifo'), '\n')
  for (const { fate, name } of cases)
    if (fate === 'killed' || fate.startsWith('ends')) await gone(before.get(name)!.State.Pid)
}

for (const way of ['stopped', 'killed'] as const)
  test(`a daemon that was ${way}: containers in every state, under every policy`, async () => {
    await Promise.all(cases.map(({ name, policy, fate }) => runContainer(name, policy, program[fate])))
    await docker.ok('stop', '-t', '0', ...names.filter((name) => name.startsWith('stopped')))
    const before = await inspect(names)
    if (way === 'stopped') slipway('daemon', 'stop')
    else await killDaemon()
    await letThemDie(before)
    const since = Date.now()
    await new Promise((go) => setTimeout(go, 1100))
    slipway('daemon', 'start')
    const settled = async (): Promise<Map<string, Seen> | undefined> => {
      const now = await inspect(names)
      const done = cases.every(({ name, fate, policy }) => {
        const { State, RestartCount } = now.get(name)!
        const { status, count, again } = expected(fate, policy)
        return (
          State.Status === status && RestartCount === count && (!again || State.Pid !== before.get(name)!.State.Pid)
        )
      })
      return done ? now : undefined
    }
    const now = await until('all of them to settle', settled).catch(async () => inspect(names))
    for (const { name, fate, policy } of cases) {
      const [was, is] = [before.get(name)!, now.get(name)!]
      const { status, exitCode = 0, count, again } = expected(fate, policy)
      const told = `${name}: ${JSON.stringify(is.State)}`
      assert.deepEqual([is.State.Status, is.State.ExitCode, is.RestartCount], [status, exitCode, count], told)
      if (fate === 'untouched')
        assert.deepEqual([is.State.Pid, is.State.StartedAt], [was.State.Pid, was.State.StartedAt], told)
      if (again) assert.ok(is.State.StartedAt > was.State.StartedAt && existsSync(`/proc/${is.State.Pid}/exe`), told)
      // When it really ended, not when somebody learned of it.
      if (fate === 'killed' || fate.startsWith('ends')) assert.ok(Date.parse(is.State.FinishedAt) < since + 500, told)
      if (fate === 'unwatched') assert.ok(!existsSync(`/proc/${was.State.Pid}/exe`), told)
    }
    const died = (
      await docker.ok(
        'events',
        '--since',
        String(since / 1000),
        '--until',
        String(Date.now() / 1000),
        '--filter',
        'event=die',
        '--format',
        '{{.Actor.Attributes.name}} {{.Actor.Attributes.exitCode}}',
      )
    ).split('\n')
    for (const name of ['ends7-no', 'killed-no', 'lost-no'])
      assert.deepEqual(
        died.filter((line) => line.startsWith(`${name} `)),
        [`${name} ${now.get(name)!.State.ExitCode}`],
      )
  })

test('a reboot: what ran has ended, and runs again where its policy says so', async () => {
  const stopped = policies.map((policy) => `stopped-${policy.replace(':', '-')}`)
  const ran = policies.map((policy) => `ran-${policy.replace(':', '-')}`)
  for (const [i, policy] of policies.entries()) {
    await runContainer(stopped[i]!, policy, ['sleep', '1000'])
    await runContainer(ran[i]!, policy, ['sleep', '1000'], { NetworkMode: 'bridge' })
  }
  await docker.ok('create', '--name', 'never-started', '--restart', 'always', 'busybox', 'sleep', '1000')
  await docker.ok('run', '-d', '--rm', '--name', 'passing', 'busybox', 'sleep', '1000')
  await docker.ok('stop', '-t', '0', ...stopped)
  await killDaemon()
  await removeTraces(createLinux(instance, silentLog), instance)
  const db = new DatabaseSync(join(instance.stateDir, 'slipway.db'))
  db.exec(`UPDATE containers SET state = json_set(state, '$.bootId', 'another')`)
  db.close()
  slipway('daemon', 'start')
  const all = [...stopped, ...ran, 'never-started']
  const states = async () => {
    const seen = await inspect(all)
    return Object.fromEntries(
      all.map((name) => [
        name,
        `${seen.get(name)!.State.Status} ${seen.get(name)!.State.ExitCode} ${seen.get(name)!.RestartCount}`,
      ]),
    )
  }
  const wanted = {
    'stopped-no': 'exited 137 0',
    'stopped-on-failure': 'exited 137 0',
    'stopped-on-failure-2': 'exited 137 0',
    'stopped-always': 'running 0 0',
    'stopped-unless-stopped': 'exited 137 0',
    'ran-no': 'exited 255 0',
    'ran-on-failure': 'running 0 0',
    'ran-on-failure-2': 'running 0 0',
    'ran-always': 'running 0 0',
    'ran-unless-stopped': 'running 0 0',
    'never-started': 'created 0 0',
  }
  await until(
    'all to settle',
    async () => !Object.values(await states()).some((state) => state.startsWith('restarting')),
  )
  assert.deepEqual(await states(), wanted)
  assert.match(await docker.fails(1, 'inspect', 'passing'), /No such object/)
  assert.match(await docker.ok('exec', 'ran-always', 'ip', 'address'), /eth0/)
})

test('live: attach, logs, health, pause and exec go on with the next daemon', async () => {
  await docker.ok('run', '-di', '--name', 'talks', 'busybox', 'sh', '-c', 'while read x; do echo got $x; done')
  await docker.ok('run', '-d', '--name', 'frozen', 'busybox', 'sleep', '1000')
  await docker.ok('pause', 'frozen')
  await docker.ok(
    'run',
    '-d',
    '--name',
    'checked',
    '--health-cmd',
    'test -f /ok',
    '--health-interval',
    '200ms',
    '--health-retries',
    '1',
    '--restart',
    'always',
    'busybox',
    'sleep',
    '1000',
  )
  const health = async (): Promise<string | undefined> =>
    (await inspect(['checked'])).get('checked')!.State.Health?.Status
  await until('it to be unhealthy', async () => (await health()) === 'unhealthy')
  const say = async (word: string): Promise<void> => {
    const client = docker.start('attach', '--sig-proxy=false', 'talks')
    client.stdin!.write(`${word}\n`)
    await until(word, async () => (await docker.ok('logs', 'talks')).includes(word))
    client.kill('SIGKILL')
  }
  await say('one')
  await killDaemon()
  slipway('daemon', 'start')
  const following = docker.start('logs', '-f', 'talks')
  let heard = ''
  following.stdout!.on('data', (chunk) => {
    heard += String(chunk)
  })
  await say('two')
  await until('both words in the log', async () => heard === 'got one\ngot two\n')
  following.kill()
  await docker.ok('exec', 'checked', 'touch', '/ok')
  await until('it to be healthy', async () => (await health()) === 'healthy')
  kill((await inspect(['checked'])).get('checked')!.State.Pid)
  await until('a restart', async () => {
    const { State, RestartCount } = (await inspect(['checked'])).get('checked')!
    return State.Status === 'running' && RestartCount === 1
  })
  assert.match(await docker.fails(1, 'exec', 'frozen', 'true'), /is paused/)
  await docker.ok('unpause', 'frozen')
  await docker.ok('exec', 'frozen', 'true')
  const waiting = docker.run(['wait', 'frozen'])
  await docker.ok('stop', '-t', '0', 'frozen')
  assert.equal((await waiting).stdout, '137\n')
})
