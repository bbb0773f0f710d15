import assert from 'node:assert/strict'
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { eraseCredentials, storeCredentials } from './credentials.ts'

const dir = mkdtempSync(join(tmpdir(), 'slipway-credentials-'))
after(() => rmSync(dir, { recursive: true }))

test("docker's configuration may be a link, to a repository of such files say: it stays one, and only root reads it", async () => {
  mkdirSync(join(dir, 'dotfiles'))
  writeFileSync(join(dir, 'dotfiles/config.json'), '{"detachKeys":"ctrl-x"}', { mode: 0o644 })
  symlinkSync('dotfiles/config.json', join(dir, 'config.json'))
  const env = { DOCKER_CONFIG: dir }
  await storeCredentials('registry.example:5000', { username: 'u', password: 'p' }, env)
  assert.ok(lstatSync(join(dir, 'config.json')).isSymbolicLink())
  const { mode } = lstatSync(join(dir, 'dotfiles/config.json'))
  assert.equal(mode & 0o777, 0o600)
  const kept = JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8'))
  assert.deepEqual(kept, { detachKeys: 'ctrl-x', auths: { 'registry.example:5000': { auth: 'dTpw' } } })
  assert.ok(await eraseCredentials('registry.example:5000', env))
  assert.ok(!(await eraseCredentials('registry.example:5000', env)))
  assert.deepEqual(readdirSync(join(dir, 'dotfiles')), ['config.json'])
})
