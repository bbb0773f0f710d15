import assert from 'node:assert/strict'
import { closeSync, mkdtempSync, readSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createLog } from '../../lib/log.ts'
import { withAddress } from './bound-socket.ts'
import * as libc from './libc.ts'
import { takeNotifier } from './notify.ts'

/** A real datagram socket, as systemd has one; words as they come, '' where there are none. */
const listen = (path: string) => {
  const fd = libc.socket(1, 2 | 0x80000 | 0x800)
  if (path.startsWith('@')) libc.bind(fd, Buffer.concat([Buffer.from([1, 0, 0]), Buffer.from(path.slice(1))]), path)
  else withAddress(path, (at) => libc.bind(fd, at, path))
  const read = (): string => {
    const room = Buffer.alloc(256)
    try {
      return room.toString('utf8', 0, readSync(fd, room))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return ''
      throw error
    }
  }
  const next = async (): Promise<string> => {
    for (let i = 0; i < 500; i++) {
      const words = read()
      if (words !== '') return words
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    return assert.fail('no word came')
  }
  return { read, next, close: () => closeSync(fd) }
}

const listed = () => {
  const said: string[] = []
  return { said, log: createLog((line) => void said.push(line), 'info') }
}

test('ready, alive, stopping; on a path, on a long path, and under a name without one', async () => {
  const { log } = listed()
  const dir = mkdtempSync(join(tmpdir(), 'slipway-notify-'))
  try {
    for (const path of [join(dir, 'socket'), join(dir, 'x'.repeat(100)), `@slipway-test-${process.pid}`]) {
      const systemd = listen(path)
      const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: '40000', WATCHDOG_PID: String(process.pid), KEPT: 'x' }
      const notifier = takeNotifier(env, log)
      assert.deepEqual(env, { KEPT: 'x' })
      assert.equal(systemd.read(), '')
      notifier.ready()
      assert.equal(systemd.read(), 'READY=1')
      // It goes on.
      for (let i = 0; i < 3; i++) assert.equal(await systemd.next(), 'WATCHDOG=1')
      notifier.stopping()
      for (;;) {
        const words = await systemd.next()
        if (words !== 'WATCHDOG=1') {
          assert.equal(words, 'STOPPING=1')
          break
        }
      }
      systemd.close()
    }
  } finally {
    rmSync(dir, { recursive: true })
  }
})

test("no watchdog where it is another process's, none at all for a daemon of a command, and a listener that is gone", async () => {
  const { said, log } = listed()
  const path = `@slipway-test-${process.pid}-2`
  const systemd = listen(path)
  takeNotifier({ NOTIFY_SOCKET: path, WATCHDOG_USEC: '1000', WATCHDOG_PID: '1' }, log).ready()
  assert.equal(systemd.read(), 'READY=1')
  await new Promise((resolve) => setTimeout(resolve, 30))
  assert.equal(systemd.read(), '')
  takeNotifier({ NOTIFY_SOCKET: path, SLIPWAY_SUPERVISE: '1' }, log).ready()
  takeNotifier({}, log).ready()
  assert.equal(systemd.read(), '')
  const notifier = takeNotifier({ NOTIFY_SOCKET: path }, log)
  systemd.close()
  notifier.ready()
  notifier.stopping()
  assert.equal(said.length, 1)
  takeNotifier({ NOTIFY_SOCKET: '/nonexistent/socket' }, log).ready()
  assert.match(said[1]!, /systemd cannot be told anything/)
})
