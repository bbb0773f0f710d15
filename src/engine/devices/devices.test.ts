import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createDevices } from './index.ts'
import { parseDirectories } from './settings.ts'

const dir = mkdtempSync(join(tmpdir(), 'slipway-devices-'))
after(() => rmSync(dir, { recursive: true, force: true }))

const request = { driver: 'cdi', count: 0, ids: [] as string[], capabilities: [] as string[][], options: {} }

const make = (name: string, files: Record<string, string>) => {
  const state = join(dir, name)
  const specs = ['low', 'high'].map((each) => join(state, each))
  for (const each of specs) mkdirSync(each, { recursive: true })
  writeFileSync(join(state, 'devices.json'), JSON.stringify({ 'cdi-spec-dirs': [...specs, join(state, 'none')] }))
  for (const [path, text] of Object.entries(files)) writeFileSync(join(state, path), text)
  return createDevices(state)
}
const yaml = (kind: string, ...devices: string[]): string =>
  `cdiVersion: "0.6.0"\nkind: ${kind}\ncontainerEdits:\n  env: [ALL=1]\ndevices:\n${devices.map((name) => `- name: "${name}"\n  containerEdits:\n    env: ["NAME=${name}"]\n`).join('')}`

test('all files of the directories are read; the higher directory wins, and equals do not count', async () => {
  const devices = make('some', {
    'low/a.yaml': yaml('v.com/c', 'one', 'two'),
    'low/b.json': '{"cdiVersion":"0.5.0","kind":"v.com/c","devices":[{"name":"two","containerEdits":{"env":["B=1"]}}]}',
    'high/a.yaml': yaml('v.com/c', 'one').replace('NAME=', 'HIGH='),
    'low/broken.yaml': 'cdiVersion: "0.6.0"\nkind: x\n',
    'low/ignored.txt': 'x',
  })
  const { devices: found, problems } = await devices.list()
  assert.deepEqual(
    found.map(({ name }) => name),
    ['v.com/c=one'],
  )
  assert.equal(problems.length, 2)
  assert.match(problems.join('\n'), /broken\.yaml: failed to load CDI Spec .*invalid vendor/)
  assert.match(problems.join('\n'), /conflicting device "v\.com\/c=two"/)
  assert.deepEqual((await devices.edits(['v.com/c=one'])).env, ['ALL=1', 'HIGH=one'])
  await assert.rejects(devices.requested([{ ...request, ids: ['v.com/c=one', 'v.com/c=no', 'v.com/c=two'] }]), {
    message: 'CDI device injection failed: unresolvable CDI devices v.com/c=no, v.com/c=two',
  })
})

test('what all devices of a specification need comes once', async () => {
  const devices = make('twice', { 'low/a.yaml': yaml('v.com/c', 'one', 'two') })
  assert.deepEqual((await devices.edits(['v.com/c=two', 'v.com/c=one'])).env, ['ALL=1', 'NAME=two', 'NAME=one'])
})

test("requests of docker's API", async () => {
  const devices = make('gpus', { 'low/a.yaml': yaml('nvidia.com/gpu', '0', '1', 'all') })
  const gpu = { ...request, driver: '', capabilities: [['gpu']] }
  const env = async (given: object): Promise<string[] | undefined> =>
    (await devices.requested([{ ...gpu, ...given }])).env
  assert.deepEqual(await env({ count: -1 }), ['ALL=1', 'NAME=all'])
  assert.deepEqual(await env({ count: 2 }), ['ALL=1', 'NAME=0', 'NAME=1'])
  assert.deepEqual(await env({ ids: ['1'] }), ['ALL=1', 'NAME=1'])
  const says = (given: object, message: string) => assert.rejects(env(given), { message })
  await says({ driver: 'cdi', count: 1 }, 'unexpected count in CDI device request')
  await says({ driver: 'cdi', options: { a: 'b' } }, 'unexpected options in CDI device request')
  await says({ driver: 'tpu' }, 'could not select device driver "tpu" with capabilities: [[gpu]]')
  await assert.rejects(make('none', {}).requested([gpu]), {
    message: 'could not select device driver "" with capabilities: [[gpu]]',
  })
})

test('the settings file', () => {
  assert.deepEqual(parseDirectories('{}', 'f'), ['/etc/cdi', '/var/run/cdi'])
  assert.deepEqual(parseDirectories('{"cdi-spec-dirs": []}', 'f'), [])
  assert.deepEqual(parseDirectories('{"cdi-spec-dirs": [""]}', 'f'), [])
  assert.throws(() => parseDirectories('{"cdi-spec-dirs": ["x"]}', 'f'), { message: /list of absolute paths/ })
  assert.throws(() => parseDirectories('{"dirs": []}', 'f'), { message: /"dirs" is not known/ })
})
