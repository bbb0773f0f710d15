/** slipway container, volume, network, system and docker-context: docker's commands where no docker client is installed. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, afterEach, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { collect, type Ran, type RunOptions, startDocker, until } from './docker-kit.ts'

const docker = startDocker()
after(() => docker.stop())
afterEach(() => docker.clean())
const program = fileURLToPath(new URL('../../slipway', import.meta.url))
const { env } = docker.instance

const run = (line: string, options: RunOptions & { more?: string[] } = {}): Promise<Ran> =>
  collect(program, [...line.split(' '), ...(options.more ?? [])], { env, cwd: docker.dir, ...options })
const ok = async (line: string, ...more: string[]): Promise<string> => {
  const ran = await run(line, { more })
  assert.equal(ran.code, 0, `slipway ${line}: ${ran.stderr}`)
  return ran.stdout.replace(/\n$/, '')
}

const sh = (script: string): string[] => ['sh', '-c', script]

test('run: output apart, exit codes, input, environment, nothing left with --rm', async () => {
  const script = 'echo out; echo bad >&2; exit 3'
  const { code, stdout, stderr } = await run('container run --rm busybox sh -c', { more: [script] })
  assert.deepEqual([code, stdout, stderr], [3, 'out\n', 'bad\n'])
  assert.equal((await run('container run --rm -i busybox cat', { input: 'typed' })).stdout, 'typed')
  writeFileSync(join(docker.dir, 'vars'), '# comment\nA=file\nB=file\n')
  const more = ['sh', '-c', 'echo $A $B $HOME_OF']
  assert.equal(
    (
      await run('container run --rm --env-file vars -e A=flag -e HOME_OF busybox', {
        more,
        env: { ...env, HOME_OF: 'x' },
      })
    ).stdout,
    'flag file x\n',
  )
  assert.equal(await docker.ok('ps', '-aq'), '')
  assert.equal((await run('container run --rm busybox nosuchprogram')).code, 127)
  assert.match((await run('container run -it busybox sh')).stderr, /the input device is not a TTY/)
})

test('the life of a container', async () => {
  const id = await ok(
    'container run -d --name one -p 127.0.0.1::80/tcp -p 127.0.0.1::81-82 -v data:/v -l a=b busybox sleep 100',
  )
  assert.match(id, /^[0-9a-f]{64}$/)
  assert.equal(await docker.ok('inspect', '-f', '{{.Config.Labels.a}} {{(index .Mounts 0).Name}}', 'one'), 'b data')
  assert.match(
    await ok('container ls'),
    /^CONTAINER ID .*\n[0-9a-f]{12} +busybox +"sleep 100" .* Up .*127\.0\.0\.1:\d+->80\/tcp.* one$/,
  )
  assert.equal(await ok('container ps -q --no-trunc --filter name=one'), id)
  assert.match(await ok('container port one 82'), /^127\.0\.0\.1:\d+$/)
  assert.equal((await run('container exec -i one cat', { input: 'in' })).stdout, 'in')
  assert.equal(
    (await run('container exec -u 1000 -w /tmp one sh -c', { more: ['id -u; pwd; exit 4'] })).stdout,
    '1000\n/tmp\n',
  )
  assert.equal((await run('container exec one sh -c', { more: ['exit 4'] })).code, 4)
  assert.match(await ok('container top one'), /sleep 100/)
  await ok('container exec one touch /made')
  assert.match(await ok('container diff one'), /A \/made/)
  await ok('container rename one two')
  const stopped = await run('container stop -t 0 two nope')
  assert.deepEqual([stopped.code, stopped.stdout], [1, 'two\n'])
  assert.match(stopped.stderr, /No such container: nope/)
  assert.equal(await ok('container wait two'), '137')
  await ok('container start two')
  await ok('container pause two')
  await ok('container unpause two')
  assert.match((await run('container rm two')).stderr, /stop the container before removing or force remove/)
  assert.equal(await ok('container rm -f two'), 'two')
  assert.equal(await ok('volume rm data'), 'data')
})

test('logs: both streams, followed, the last lines; a terminal', async () => {
  await ok('container run -d --name talks busybox sh -c', 'echo 1; echo 2 >&2; sleep 0.5; echo 3')
  const { stdout, stderr } = await run('container logs -f talks')
  assert.deepEqual([stdout, stderr], ['1\n3\n', '2\n'])
  assert.equal(await ok('container logs -n 1 talks'), '3')
  const typed = `${program} container run --rm -it busybox sh -c 'test -t 0 && sleep 1; stty size'`
  const ran = await collect('script', ['-qec', `stty rows 30 cols 90; exec ${typed}`, '/dev/null'], { env })
  assert.match(ran.stdout, /30 90\s*$/)
})

test('volumes and networks', async () => {
  assert.equal(await ok('volume create --label k=v vol'), 'vol')
  assert.match(await ok('volume ls --filter label=k'), /^DRIVER +VOLUME NAME\nlocal +vol$/)
  assert.equal(JSON.parse(await ok('volume inspect vol'))[0].Labels.k, 'v')
  assert.match(await ok('volume prune -af'), /Deleted Volumes:\nvol\n/)
  assert.equal((await run('volume rm vol')).code, 1)
  assert.equal((await run('volume rm -f vol')).code, 0)
  await ok('network create --subnet 172.31.88.0/24 --internal net')
  await ok('container run -d --name on busybox sleep 100')
  await ok('network connect --alias al --ip 172.31.88.9 net on')
  assert.equal(await docker.ok('inspect', '-f', '{{.NetworkSettings.Networks.net.IPAddress}}', 'on'), '172.31.88.9')
  assert.match((await run('network rm net')).stderr, /has active endpoints/)
  await ok('network disconnect net on')
  assert.match(await ok('network prune -f'), /Deleted Networks:\nnet/)
})

test('system: df, info, events, prune', async () => {
  assert.match(await ok('system df'), /^TYPE +TOTAL +ACTIVE +SIZE +RECLAIMABLE\nImages +1 +0 /)
  assert.match(await ok('system info'), /Server Version: \d/)
  await ok('container run --name done busybox true')
  assert.match(
    await ok(`system events --since 10m --until ${Date.now() / 1000} --filter container=done`),
    / container create [0-9a-f]{64} \(.*name=done\)/,
  )
  const since = String(Date.now() / 1000)
  const end = String(Date.now() / 1000 + 2)
  const watched = ['system', 'events', '--filter', 'type=volume', '--since', since, '--until', end]
  const live = collect(program, watched, { env })
  await ok('volume create')
  assert.match((await live).stdout, /volume create/)
  assert.match(await ok('system prune -f'), /Deleted Containers:\n[0-9a-f]{64}\n[\s\S]*Total reclaimed space: /)
})

test('docker-context: the real client finds the daemon by it', async () => {
  const config = join(docker.dir, 'contexts')
  const { DOCKER_HOST: _, ...rest } = env
  const plain = { ...rest, DOCKER_CONFIG: config }
  assert.equal((await run('docker-context', { env: plain })).stdout, 'slipway\n')
  const info = await docker.run(['--context', 'slipway', 'info', '-f', '{{.DockerRootDir}}'], { env: plain })
  assert.equal(info.stdout.trim(), join(docker.instance.home, 'lib'))
  writeFileSync(join(config, 'config.json'), '{"psFormat":"x"}')
  await run('docker-context --use', { env: plain })
  assert.deepEqual(JSON.parse(readFileSync(join(config, 'config.json'), 'utf8')), {
    psFormat: 'x',
    currentContext: 'slipway',
  })
  assert.equal((await docker.run(['context', 'show'], { env: plain })).stdout, 'slipway\n')
  await run('docker-context --rm', { env: plain })
  assert.equal((await docker.run(['context', 'show'], { env: plain })).stdout, 'default\n')
  assert.equal((await run('docker-context --rm', { env: plain })).code, 1)
  assert.equal(existsSync(join(config, 'contexts', 'meta')), true)
})

test('a terminal is left by its keys and come back to; signals are passed on', async () => {
  const command = `stty rows 24 cols 80; ${program} container run -it --name kept busybox sh; echo left $?; ${program} container attach kept; echo ended $?`
  const child = spawn('script', ['-qec', command, '/dev/null'], { env, stdio: ['pipe', 'pipe', 'inherit'] })
  let shown = ''
  child.stdout.on('data', (chunk: Buffer) => (shown += chunk.toString()))
  const see = (what: RegExp): Promise<unknown> => until(String(what), async () => what.test(shown), 20_000)
  const ended = new Promise((resolve) => child.once('close', resolve))
  await see(/# (?:\u001b\[\d*[A-Za-z])*$/)
  child.stdin.write('echo typed-$((1 + 1))\n')
  await see(/typed-2/)
  child.stdin.write('\u0010\u0011')
  await see(/left 0/)
  await until('somebody attached again', async () => {
    const events = await docker.ok(
      'events',
      '--since',
      '5m',
      '--until',
      '1s',
      '--filter',
      'event=attach',
      '--filter',
      'container=kept',
    )
    return events.trim().split('\n').length >= 2
  })
  child.stdin.write('echo again-$((1 + 2)); exit 4\n')
  await see(/again-3[\s\S]*ended 4/)
  await ended
  const waiting = spawn(
    program,
    [
      'container',
      'run',
      '--name',
      'signalled',
      'busybox',
      ...sh('trap "echo got; exit 6" USR1; echo ready; while true; do sleep 0.1; done'),
    ],
    { env, stdio: ['ignore', 'pipe', 'inherit'] },
  )
  let said = ''
  waiting.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const code = new Promise<number | null>((resolve) => waiting.once('close', resolve))
  await until('the program', async () => said.includes('ready'))
  waiting.kill('SIGUSR1')
  assert.equal(await code, 6)
  assert.equal(said, 'ready\ngot\n')
})

test('run: the file of the id, pulls, sockets', async () => {
  const file = join(docker.dir, 'cid')
  const id = await ok(`container create --cidfile ${file} busybox true`)
  assert.equal(readFileSync(file, 'utf8'), id)
  assert.match(
    (await run(`container run --cidfile ${file} busybox true`)).stderr,
    /^slipway: container ID file found, make sure/,
  )
  await run(`container run --cidfile ${file}2 nosuch/image:1`)
  assert.equal(existsSync(`${file}2`), false)
  const { stderr, code } = await run('container run --rm --pull never nosuch/image:1 true')
  assert.deepEqual([code, /No such image: nosuch\/image:1/.test(stderr)], [125, true])
  assert.match(
    await ok('container run --rm --use-api-socket busybox ls -l /var/run/docker.sock'),
    /^s.* \/var\/run\/docker\.sock$/,
  )
})

test('completion in bash: commands, flags, names of what is there, files', async () => {
  await docker.ok('run', '-d', '--name', 'up-one', 'busybox', 'sleep', '100')
  await docker.ok('create', '--name', 'off-one', 'busybox', 'true')
  await docker.ok('tag', 'busybox', 'some.registry:5000/app:v1')
  const script = await ok('completion bash')
  /** What bash is given for a line, cut into words as readline cuts it. */
  const completed = async (line: string): Promise<string[]> => {
    const words = line.split(/ +|(?<=[:=])|(?=[:=])/)
    const quoted = words.map((word) => `'${word}'`).join(' ')
    const { stdout } = await collect(
      'bash',
      [
        '-c',
        `${script}\nCOMP_LINE='${line}' COMP_POINT=${line.length}
      COMP_WORDS=(${quoted}) COMP_CWORD=${words.length - 1}
      compopt() { echo "compopt $*"; }
      _slipway; printf '%s\n' "\${COMPREPLY[@]}"`,
      ],
      { env },
    )
    return stdout.split('\n').filter(Boolean)
  }
  for (const [line, expected] of [
    ['container sto', ['stop']],
    ['container stop ', ['up-one']],
    ['container start o', ['off-one']],
    ['container rm off-one up', ['up-one']],
    ['container run --volumes-fr', ['--volumes-from']],
    ['docker run --network=bri', ['bridge']],
    ['docker run --network bri', ['bridge']],
    ['image rm some.registry:5000/app:', ['v1']],
    ['image rm some.', ['some.registry:5000/app:v1']],
    ['container cp off', ['compopt -o nospace', 'off-one:']],
    ['up -f /et', ['compopt -o default']],
    ['nosuch ', []],
  ] as const)
    assert.deepEqual(await completed(`${program} ${line}`), expected, line)
  await docker.ok('rmi', 'some.registry:5000/app:v1')
})
