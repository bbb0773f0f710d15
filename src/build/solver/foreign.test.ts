import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { hostPlatform } from '../../spec/oci/index.ts'
import { cannotRun } from './foreign.ts'

test('what the machine itself runs needs nobody; the rest an enabled emulator', () => {
  const registry = mkdtempSync(join(tmpdir(), 'binfmt-'))
  const magic = '7f454c460201010000000000000000000200f300'
  try {
    assert.equal(cannotRun(`linux/${hostPlatform().architecture}`, registry), undefined)
    assert.match(cannotRun('linux/riscv64', registry) ?? '', /no emulator/)
    writeFileSync(
      join(registry, 'qemu-riscv64'),
      `disabled\ninterpreter /usr/bin/qemu\nflags: F\noffset 0\nmagic ${magic}\n`,
    )
    assert.match(cannotRun('linux/riscv64', registry) ?? '', /no emulator/)
    writeFileSync(
      join(registry, 'qemu-riscv64'),
      `enabled\ninterpreter /usr/bin/qemu\nflags: F\noffset 0\nmagic ${magic}\n`,
    )
    assert.equal(cannotRun('linux/riscv64', registry), undefined)
    assert.match(cannotRun('linux/s390x', join(registry, 'not-mounted')) ?? '', /no emulator/)
  } finally {
    rmSync(registry, { recursive: true })
  }
})
