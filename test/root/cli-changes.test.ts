/** `up` on what runs already: only what changed is touched. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { busyboxDockerfile, createInstance, projectFolder, type Ran } from './instance.ts'

const slipway = createInstance('changes')
let cwd = ''
before(async () => {
  cwd = projectFolder(slipway.home, 'app', { Dockerfile: busyboxDockerfile })
  await slipway.ok(['-f', '-', 'build', '-q'], { cwd, input: 'name: app\nservices: {box: {build: ., image: box}}\n' })
})
after(() => slipway.destroy())

const write = (text: string): void => writeFileSync(join(cwd, 'compose.yaml'), text)
const ok = (...args: string[]): Promise<Ran> => slipway.ok(args, { cwd })
const run = (...args: string[]): Promise<Ran> => slipway.run(args, { cwd })
const names = async (service: string): Promise<string> => (await ok('ps', '-a', '-q', service)).stdout
const kubectl = (...args: string[]): string =>
  execFileSync('kubectl', ['--kubeconfig', slipway.kubeconfig, '-n', 'app', ...args], { encoding: 'utf8' })
const configMaps = (): string[] =>
  kubectl('get', 'configmap', '-o', 'name')
    .trim()
    .split('\n')
    .filter((n) => !n.includes('root-ca'))

const service = (name: string, more: string): string =>
  `  ${name}:\n    image: box\n    init: true\n    stop_grace_period: 1s\n    command: [sleep, "1000"]\n${more}`

test('a changed environment rolls out its own service only', async () => {
  const file = (a: string): string =>
    `name: app\nservices:\n${service('one', `    environment: {A: "${a}"}\n`)}${service('two', '    environment: {B: "x"}\n')}`
  write(file('1'))
  await ok('up', '-d')
  const [one, two] = [await names('one'), await names('two')]
  write(file('2'))
  const { stderr } = await ok('up', '-d')
  assert.match(stderr, /Service one {2}Configured/)
  assert.match(stderr, /Service two {2}Running/)
  assert.notEqual(await names('one'), one)
  assert.equal(await names('two'), two)
  assert.equal((await ok('exec', 'one', 'sh', '-c', 'echo $A')).stdout, '2\n')
  await ok('rollout', 'undo', 'one')
  assert.equal(
    (await ok('exec', 'one', 'sh', '-c', 'echo $A')).stdout,
    '1\n',
    'the configuration of then is still there',
  )
})

test('--no-recreate leaves, --force-recreate rolls, --no-deps and a name touch one', async () => {
  const before = await names('two')
  await ok('up', '-d', '--no-recreate')
  assert.equal((await ok('exec', 'one', 'sh', '-c', 'echo $A')).stdout, '1\n')
  await ok('up', '-d', '--force-recreate', '--no-deps', 'two')
  assert.notEqual(await names('two'), before)
})

test('a service that has left the file: told, and removed on request', async () => {
  write(`name: app\nservices:\n${service('one', '')}`)
  const kept = await ok('up', '-d')
  assert.match(kept.stderr, /Found orphan services \(two\)/)
  assert.notEqual(await names('two'), '')
  assert.match((await ok('up', '-d', '--remove-orphans')).stderr, /Service two {2}Removed/)
  assert.equal((await ok('ps', '--services')).stdout, 'one\n')
})

test('a Job runs again when it changed or had failed, and its old configuration goes', async () => {
  const job = (command: string, value: string): void =>
    write(
      `name: app\nservices:\n${service('one', '    depends_on: {job: {condition: service_completed_successfully}}\n')}  job:\n    image: box\n    restart: "no"\n    command: [sh, -c, "${command}"]\n    environment: {V: "${value}"}\n`,
    )
  job('echo first $$V', 'a')
  await ok('up', '-d')
  const first = await names('job')
  assert.match((await ok('logs', 'job')).stdout, /job-1 {2}\| first a\n/)
  const before = configMaps().length
  await ok('up', '-d')
  assert.equal(await names('job'), first, 'unchanged: it has run')
  job('echo second $$V', 'b')
  assert.match((await ok('up', '-d')).stderr, /Service job {2}Recreated/)
  assert.match((await ok('logs', '--no-log-prefix', 'job')).stdout, /^second b\n$/)
  assert.equal(configMaps().length, before, configMaps().join(' '))
  job('echo third >&2; exit 3', 'b')
  const failed = await run('up', '-d')
  assert.equal(failed.code, 1)
  assert.match(failed.stderr, /service job did not become ready.*\n.*exited with code 3/)
  assert.match(failed.stderr, /\| third/)
  const pods = await names('job')
  await run('up', '-d')
  assert.notEqual(await names('job'), pods, 'a failed one is tried again')
})

test('down of one service', async () => {
  write(`name: app\nservices:\n${service('one', '')}${service('two', '')}`)
  await ok('up', '-d', '--remove-orphans')
  assert.match((await ok('down', 'two')).stderr, /Service two {2}Removed/)
  assert.equal((await ok('ps', '--services')).stdout, 'one\n')
  await ok('down')
  assert.equal((await ok('ls', '-a', '-q')).stdout, '')
})
