import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const repository = fileURLToPath(new URL('../..', import.meta.url))

/** The directory that holds these programs. test/run has fetched them; alone, a test gets its clients itself. */
export const clientsIn = (...names: string[]): string => {
  const dir = join(repository, 'node_modules/.cache/test-tools')
  const bin = join(dir, 'bin')
  const there = names.every((name) => existsSync(join(bin, name)))
  if (!there) execFileSync(join(repository, 'test/tools'), [dir], { stdio: ['ignore', 'inherit', 'inherit'] })
  for (const name of names)
    assert.ok(existsSync(join(bin, name)), `${name} is missing: test/tools could not fetch it from Debian`)
  return bin
}

/** Packages of npm's, as test/tools has fetched them. */
export const npmClients = (): NodeJS.Require => {
  clientsIn('../npm/ready')
  return createRequire(join(repository, 'node_modules/.cache/test-tools/npm/'))
}
