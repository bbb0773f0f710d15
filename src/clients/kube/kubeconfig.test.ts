import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { after, test } from 'node:test'
import { isError, SlipwayError } from '../../errors.ts'
import { loadKubeconfig } from './index.ts'

const home = mkdtempSync(join(tmpdir(), 'slipway-kubeconfig-'))
after(() => rmSync(home, { recursive: true }))
const file = (name: string, text: string): string => {
  writeFileSync(join(home, name), text)
  return join(home, name)
}
const b64 = (text: string): string => Buffer.from(text).toString('base64')

const first = file(
  'first',
  `
apiVersion: v1
kind: Config
current-context: dev
clusters:
- {name: dev, cluster: {server: 'https://dev:6443', certificate-authority-data: ${b64('DEV CA')}}}
- {name: proxied, cluster: {server: 'https://p', proxy-url: 'http://proxy:3128'}}
users:
- {name: alice, user: {client-certificate-data: ${b64('CERT')}, client-key-data: ${b64('KEY')}}}
- {name: plugin, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: ./bin/get-token, args: [a], env: [{name: X, value: '1'}], provideClusterInfo: true}}}
- {name: file, user: {tokenFile: token, as: bob, as-groups: [ops]}}
- {name: old, user: {auth-provider: {name: gcp}}}
contexts:
- {name: dev, context: {cluster: dev, user: alice, namespace: team}}
- {name: plugged, context: {cluster: dev, user: plugin}}
- {name: filed, context: {cluster: dev, user: file}}
- {name: proxied, context: {cluster: proxied, user: alice}}
- {name: old, context: {cluster: dev, user: old}}
- {name: dangling, context: {cluster: nowhere, user: alice}}
`,
)
mkdirSync(join(home, 'sub'))
const second = file(
  'sub/second',
  `
current-context: prod
clusters:
- {name: prod, cluster: {server: 'https://prod/k8s/c-1', certificate-authority: ca.pem, tls-server-name: api}}
- {name: dev, cluster: {server: 'https://shadowed'}}
users:
- {name: alice, user: {token: shadowed}}
- {name: basic, user: {username: u, password: p}}
contexts:
- {name: prod, context: {cluster: prod, user: basic}}
`,
)
file('sub/ca.pem', 'PROD CA')
const env = { KUBECONFIG: [first, join(home, 'missing'), second].join(delimiter), HOME: home, PATH: '/bin' }

test('merges the files of KUBECONFIG: the first to define something wins, paths are relative to their file', async () => {
  const dev = await loadKubeconfig({ env })
  assert.deepEqual(
    {
      server: dev.server,
      ca: dev.ca,
      cert: dev.cert,
      key: dev.key,
      token: dev.token,
      ns: dev.namespace,
      c: dev.context,
    },
    { server: 'https://dev:6443', ca: 'DEV CA', cert: 'CERT', key: 'KEY', token: undefined, ns: 'team', c: 'dev' },
  )
  const prod = await loadKubeconfig({ env, context: 'prod' })
  assert.equal(prod.ca, 'PROD CA')
  assert.equal(prod.serverName, 'api')
  assert.deepEqual(prod.basic, { username: 'u', password: 'p' })
  assert.equal((await loadKubeconfig({ env, path: second })).context, 'prod')
})

test('an unknown context says which there are', async () => {
  await assert.rejects(loadKubeconfig({ env, context: 'staging' }), (error) => {
    assert.ok(isError(error, 'not-found'))
    assert.equal(error.message, 'context "staging" does not exist')
    assert.match(error.hint!, /dev, plugged, filed, proxied, old, dangling, prod/)
    return true
  })
  await assert.rejects(loadKubeconfig({ env: { HOME: '/nonexistent' } }), (error) => isError(error, 'not-found'))
  await assert.rejects(loadKubeconfig({ env, path: join(home, 'missing') }), /no such file/)
  await assert.rejects(loadKubeconfig({ env, context: 'dangling' }), /cluster "nowhere"/)
})

test('what is not supported is refused with a reason', async () => {
  await assert.rejects(
    loadKubeconfig({ env, context: 'proxied' }),
    (error) => isError(error, 'unsupported') && !!error.hint,
  )
  await assert.rejects(loadKubeconfig({ env, context: 'old' }), /No Auth Provider|no Auth Provider/)
  const plugged = await loadKubeconfig({ env, context: 'plugged' })
  await assert.rejects(plugged.credentials!(false), (error) => isError(error, 'unsupported'))
})

test('token files are read again when refused; impersonation is taken over', async () => {
  file('token', 'one\n')
  const filed = await loadKubeconfig({ env, context: 'filed' })
  assert.deepEqual(filed.impersonate, { user: 'bob', groups: ['ops'], uid: undefined, extra: {} })
  assert.deepEqual(await filed.credentials!(false), { token: 'one' })
  file('token', 'two\n')
  assert.deepEqual(await filed.credentials!(false), { token: 'one' })
  assert.deepEqual(await filed.credentials!(true), { token: 'two' })
})

test('exec plugins: how they are run, how long their answer is kept, what failing says', async () => {
  const runs: { argv: readonly string[]; env: Record<string, string> }[] = []
  let answer: () => { code: number; stdout: string } = () => ({ code: 1, stdout: '' })
  const run = async (argv: readonly string[], options: { env: Record<string, string> }) => {
    runs.push({ argv, env: options.env })
    return answer()
  }
  const { credentials } = await loadKubeconfig({ env, context: 'plugged', run })
  const credential = (status: unknown) => () => ({
    code: 0,
    stdout: JSON.stringify({ kind: 'ExecCredential', apiVersion: 'client.authentication.k8s.io/v1', status }),
  })
  await assert.rejects(credentials!(false), /executable .*get-token failed with exit code 1/)
  answer = credential({ token: 't1', expirationTimestamp: new Date(Date.now() + 60_000).toISOString() })
  const two = await Promise.all([credentials!(false), credentials!(false)])
  assert.deepEqual(two[1], { token: 't1', cert: undefined, key: undefined })
  assert.equal(runs.length, 2, 'asked once by both')
  assert.deepEqual(runs[1]!.argv, [join(home, 'bin/get-token'), 'a'])
  assert.equal(runs[1]!.env.X, '1')
  assert.equal(runs[1]!.env.PATH, '/bin')
  assert.equal(JSON.parse(runs[1]!.env.KUBERNETES_EXEC_INFO!).spec.cluster.server, 'https://dev:6443')
  answer = credential({ token: 't2', expirationTimestamp: new Date(Date.now() - 1).toISOString() })
  assert.equal((await credentials!(true)).token, 't2')
  await credentials!(false)
  assert.equal(runs.length, 4, 'expired answers are asked for again')
  answer = () => {
    throw new SlipwayError('not-found', 'spawn ENOENT')
  }
  await assert.rejects(credentials!(true), (error) => isError(error, 'unauthorized'))
})
