/** Devices that specifications name (CDI): in containers of docker and compose, and in build steps. */
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { shell, startBuildx } from './buildx-kit.ts'

const buildx = startBuildx(true)
const { ok, run, project, instance, dir } = buildx
after(() => buildx.stop())

const specs = join(dir, 'cdi')
const host = join(dir, 'host')
const ended = join(host, 'ended')
before(async () => {
  mkdirSync(specs)
  mkdirSync(host)
  writeFileSync(join(host, 'library'), 'of the driver\n')
  // A runtime fails where nobody reads what it tells the hook.
  writeFileSync(join(host, 'hook'), `#!/bin/sh\ncat > /dev/null\necho "$1" >> ${ended}\n`)
  chmodSync(join(host, 'hook'), 0o755)
  writeFileSync(
    join(specs, 'test.yaml'),
    `cdiVersion: "0.7.0"
kind: "vendor1.com/device"
containerEdits:
  env: [COMMON=yes]
devices:
- name: foo
  containerEdits:
    env: [FOO=injected]
    additionalGids: [4242]
    deviceNodes:
    - path: /dev/foo
      hostPath: /dev/full
      fileMode: 0640
      permissions: r
    mounts:
    - hostPath: ${host}
      containerPath: /opt/driver
      options: [ro, nosuid, bind]
    hooks:
    - hookName: createRuntime
      path: ${join(host, 'hook')}
      args: [hook, created]
    - hookName: poststart
      path: ${join(host, 'hook')}
      args: [hook, started]
    - hookName: poststop
      path: ${join(host, 'hook')}
      args: [hook, stopped]
- name: free
  annotations:
    org.mobyproject.buildkit.device.autoallow: true
    org.mobyproject.buildkit.device.class: loose
  containerEdits:
    env: [FREE=1]
`,
  )
  writeFileSync(join(specs, 'broken.json'), '{"cdiVersion": "0.6.0"}')
  writeFileSync(
    join(instance.home, 'lib/devices.json'),
    JSON.stringify({ 'cdi-spec-dirs': [specs, join(dir, 'none')] }),
  )
  await ok(['buildx', 'build', '-t', 'base', project('base', { Dockerfile: shell })])
})

const look = 'env; id -G; cat /opt/driver/library; stat -c "%a %t,%T" /dev/foo; (echo > /dev/foo) 2>&1 || true'
const seen = (text: string): void => {
  assert.match(text, /^COMMON=yes$/m)
  assert.match(text, /^FOO=injected$/m)
  assert.match(text, /^of the driver$/m)
  assert.match(text, /\b4242\b/)
  assert.match(text, /^640 1,7$/m)
  assert.match(text, /No space left on device/)
}

test('docker run --device VENDOR/CLASS=NAME, and what docker tells of devices', async () => {
  const device = ['--device', 'vendor1.com/device=foo']
  const ran = await ok(['run', '--rm', ...device, 'base', 'sh', '-c', look])
  seen(ran.all)
  assert.equal(readFileSync(ended, 'utf8'), 'created\nstarted\nstopped\n')
  await ok(['create', '--name', 'kept', ...device, 'base', 'true'])
  const requests = await ok(['inspect', 'kept', '--format', '{{json .HostConfig.DeviceRequests}}'])
  const expected = [
    { Driver: 'cdi', Count: 0, DeviceIDs: ['vendor1.com/device=foo'], Capabilities: null, Options: null },
  ]
  assert.deepEqual(JSON.parse(requests.stdout), expected)
  const info = (await ok(['info'])).all
  assert.match(info, new RegExp(`CDI spec directories:\\n {2}${specs}\\n {2}${join(dir, 'none')}\\n`))
  assert.match(info, /Discovered Devices:\n {2}cdi: vendor1\.com\/device=foo\n {2}cdi: vendor1\.com\/device=free\n/)
  const own = instance.slipway('system', 'info')
  for (const line of info.split('\n').filter((each) => /^ CDI|^ Discovered|^ {2}cdi:/.test(each)))
    assert.ok(own.includes(`${line}\n`), line)
  assert.match(info, /WARNING: CDI: Error associated with spec file .*broken\.json/)
})

test('a device that is not there', async () => {
  const refused = async (message: RegExp, ...args: string[]): Promise<void> => {
    const { code, stderr } = await run(['run', '--rm', ...args, 'base', 'true'])
    assert.deepEqual([code, message.test(stderr)], [125, true], stderr)
  }
  await refused(
    /CDI device injection failed: unresolvable CDI devices vendor1\.com\/device=no\b/,
    '--device',
    'vendor1.com/device=no',
  )
  await refused(/could not select device driver "" with capabilities: \[\[gpu\]\]/, '--gpus', 'all')
  assert.equal((await ok(['ps', '-aq', '--filter', 'status=running'])).stdout, '')
})

test('compose gives devices by name', async () => {
  const file =
    'services:\n  one:\n    image: base\n    devices: ["vendor1.com/device=free"]\n    command: [sh, -c, "env | grep FREE"]\n'
  const at = project('composed', { 'compose.yaml': file })
  assert.match((await ok(['compose', 'up', '--no-color'], { cwd: at })).all, /FREE=1/)
  await ok(['compose', 'down'], { cwd: at })
})

test('slipway up gives devices by name, too', () => {
  const at = project('own-compose', {
    'compose.yaml':
      'name: devices\nservices:\n  one:\n    image: base\n    devices: ["vendor1.com/device=free"]\n    gpus: [{driver: cdi, device_ids: ["vendor1.com/device=free"]}]\n    stop_grace_period: 1s\n    command: [sh, -c, "env; sleep 1000"]\n',
  })
  instance.slipway('-f', join(at, 'compose.yaml'), 'up', '-d')
  assert.match(instance.slipway('-f', join(at, 'compose.yaml'), 'logs', 'one'), /FREE=1/)
  instance.slipway('-f', join(at, 'compose.yaml'), 'down')
})

test('RUN --device: allowed by the build or by the specification, missing, required', async () => {
  const at = (device: string, words: string): string =>
    project(`run-${device.replaceAll(/\W/g, '-')}`, { Dockerfile: `FROM base\nRUN --device=${device} ${words}\n` })
  const foo = at('vendor1.com/device=foo', look)
  const refused = await run(['buildx', 'build', foo])
  assert.equal(refused.code, 1)
  assert.match(refused.all, /device vendor1\.com\/device=foo is requested by the build but not allowed/)
  const allowed = await ok(['buildx', 'build', '--allow', 'device=vendor1.com/device=foo', foo])
  seen(allowed.all.replace(/^#\d+ [\d.]+ /gm, ''))
  assert.match((await ok(['buildx', 'build', '--allow', 'device', foo])).all, /CACHED/)
  assert.match((await ok(['buildx', 'build', at('vendor1.com/device=loose', 'env')])).all, /FREE=1/)
  assert.doesNotMatch((await ok(['buildx', 'build', at('vendor1.com/device=no', 'env')])).all, /COMMON=yes/)
  const required = await run(['buildx', 'build', at('vendor1.com/device=no,required', 'env')])
  assert.match(required.all, /required device "vendor1\.com\/device=no" is not registered/)
  assert.match(
    (await ok(['buildx', 'inspect'])).all,
    /Devices:\s+Name:\s+vendor1\.com\/device=foo\s+Automatically allowed: false/,
  )
  instance.slipway('build', '-t', 'own', '--allow', 'device', at('vendor1.com/device=foo,required', 'env > /env'))
  const device = ['--device', 'vendor1.com/device=free']
  assert.match(instance.slipway('container', 'run', '--rm', ...device, 'own', 'cat', '/env'), /FOO=injected/)
})
