import assert from 'node:assert/strict'
import { existsSync, linkSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openAgentSocket } from './agent-socket.ts'

test('a socket of its own in a deep directory: mode, both directions, an end', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'agent-'))
  const deep = join(dir, 'd'.repeat(100))
  mkdirSync(deep)
  const agent = createServer({ allowHalfOpen: true }, (socket) => {
    let got = ''
    socket.on('data', (data) => (got += data.toString()))
    socket.on('end', () => socket.end(`<${got}>`))
    socket.on('error', () => {}) // cut from the other side
  })
  await new Promise<void>((resolve) => agent.listen(join(dir, 'a'), resolve))
  const { path, close } = await openAgentSocket(deep, join(dir, 'a'), {
    mode: 0o641,
    uid: process.getuid!(),
    gid: process.getgid!(),
  })
  try {
    assert.equal(path, join(deep, 'socket'))
    assert.equal(statSync(path).mode & 0o7777, 0o641)
    const link = join(dir, 'l')
    linkSync(path, link)
    const client = connect({ path: link, allowHalfOpen: true })
    client.end('question')
    let answer = ''
    for await (const chunk of client) answer += String(chunk)
    assert.equal(answer, '<question>')
    const open = connect(link)
    await new Promise<void>((resolve) => open.once('connect', resolve))
    const ended = new Promise<void>((resolve) => open.once('close', () => resolve()))
    await close()
    await ended
    assert.equal(existsSync(path), false)
  } finally {
    agent.close()
    rmSync(dir, { recursive: true })
  }
})
