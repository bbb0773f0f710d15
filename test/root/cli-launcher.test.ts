/** The launcher on machines that lack something, under dash and bash. What it finds is a PATH of its own making. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'

const repository = join(import.meta.dirname, '../..')
const folder = mkdtempSync('/tmp/slipway-launcher-')
chmodSync(folder, 0o755)
after(() => rmSync(folder, { recursive: true }))

const shells = ['dash', 'bash'].map((name) => `/usr/bin/${name}`)
const tools = ['uname', 'id', 'mkdir', 'mktemp', 'tail', 'rm', 'mv', 'readlink', 'cat']

/** A checkout that has never run, and a PATH with the given programs besides the usual ones. */
const machine = (name: string, programs: Record<string, string>) => {
  const checkout = join(folder, name)
  const bin = join(checkout, 'bin')
  mkdirSync(bin, { recursive: true })
  copyFileSync(join(repository, 'slipway'), join(checkout, 'slipway'))
  writeFileSync(join(checkout, 'package-lock.json'), '{}')
  for (const tool of tools) if (!(tool in programs)) symlinkSync(`/usr/bin/${tool}`, join(bin, tool))
  for (const [program, script] of Object.entries(programs)) {
    writeFileSync(join(bin, program), `#!/bin/sh\n${script}\n`)
    chmodSync(join(bin, program), 0o755)
  }
  return {
    checkout,
    run(shell: string, args: string[], before: string[] = []) {
      const argv = [...before, shell, join(checkout, 'slipway'), ...args]
      const ran = spawnSync(argv[0]!, argv.slice(1), { env: { PATH: bin, HOME: folder }, encoding: 'utf8' })
      return { code: ran.status, out: ran.stdout, err: ran.stderr }
    },
  }
}

for (const shell of shells) {
  const name = shell.split('/').at(-1)!
  test(`${name}: not Linux`, () => {
    const { run } = machine(`${name}-mac`, { uname: 'echo Darwin' })
    const hide = '/usr/bin/mount -t tmpfs none /proc/sys/kernel && exec "$@"'
    assert.deepEqual(run(shell, ['up'], ['/usr/bin/unshare', '--mount', '/usr/bin/sh', '-c', hide, 'sh']), {
      code: 1,
      out: '',
      err: 'slipway: needs Linux; this is Darwin.\n  Run it on a Linux machine or in a Linux VM.\n',
    })
  })

  test(`${name}: no npm, and no apt-get to get it with`, () => {
    const { run } = machine(`${name}-bare`, {})
    const { code, err } = run(shell, ['up'])
    assert.equal(code, 1)
    assert.match(err, /^slipway: these packages are missing and there is no apt-get: npm\n {2}Install the programs/)
  })

  test(`${name}: no npm, and not root`, () => {
    const { run } = machine(`${name}-nobody`, {})
    const nobody = ['/usr/bin/setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
    const { code, err } = run(shell, ['up'], nobody)
    assert.equal(code, 1)
    assert.match(err, /^slipway: these packages are missing: npm\n {2}Run slipway as root once \(sudo/)
  })

  test(`${name}: npm fails`, () => {
    const { run, checkout } = machine(`${name}-npm`, { npm: 'echo "npm error network nowhere"; exit 1' })
    const { code, err } = run(shell, ['up'])
    assert.equal(code, 1)
    assert.match(err, /installing npm packages \(once\)\nnpm error network nowhere\nslipway: npm ci failed\n {2}Check/)
    assert.equal(existsSync(join(checkout, 'node_modules/.slipway-ready')), false, 'tried again the next time')
  })

  test(`${name}: through a link, from another directory`, () => {
    const link = join(folder, `${name}-link`)
    symlinkSync(join(repository, 'slipway'), link)
    const ran = spawnSync(shell, [link, 'version', '--short'], { cwd: '/', encoding: 'utf8' })
    assert.match(ran.stdout, /^\d+\.\d+\.\d+\n$/, ran.stderr)
  })

  test(`${name}: once all is there, one program may be asked and no more`, () => {
    const bin = mkdtempSync(join(folder, 'only-'))
    symlinkSync('/usr/bin/uname', join(bin, 'uname'))
    const ran = spawnSync(shell, [join(repository, 'slipway'), 'prepare'], { env: { PATH: bin }, encoding: 'utf8' })
    assert.deepEqual([ran.status, ran.stderr], [0, ''])
  })
}
