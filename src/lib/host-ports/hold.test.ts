import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { test } from 'node:test'
import { BindError, holdPort, portOwner } from './index.ts'

test('a held port is taken, names its owner, and forwards what reaches it', async (t) => {
  const echo = createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1')
  await once(echo, 'listening')
  t.after(() => echo.close())
  const held = await holdPort('127.0.0.1', 0, 'tcp')
  t.after(() => held.close())
  await assert.rejects(
    holdPort('', held.port, 'tcp'),
    (error) => error instanceof BindError && error.errno === 'EADDRINUSE',
  )
  assert.equal(portOwner('tcp', held.port)?.pid, process.pid)

  let strays = 0
  held.onStray = () => strays++
  held.target = () => ({ address: '127.0.0.1', port: (echo.address() as { port: number }).port })
  const client = connect(held.port, '127.0.0.1')
  client.end('hello')
  const [answer] = await once(client, 'data')
  assert.equal(String(answer), 'hello')
  assert.equal(strays, 1)

  held.target = () => undefined
  const refused = connect(held.port, '127.0.0.1')
  const [error] = await once(refused, 'error')
  assert.equal(error.code, 'ECONNRESET')
})

test('datagrams find their way back', async (t) => {
  const echo = createSocket('udp4')
  echo.on('message', (message, from) => echo.send(message, from.port, from.address))
  echo.bind(0, '127.0.0.1')
  await once(echo, 'listening')
  t.after(() => echo.close())
  const held = await holdPort('127.0.0.1', 0, 'udp')
  t.after(() => held.close())
  held.target = () => ({ address: '127.0.0.1', port: echo.address().port })
  const client = createSocket('udp4')
  t.after(() => client.close())
  client.send('ping', held.port, '127.0.0.1')
  const [answer] = await once(client, 'message')
  assert.equal(String(answer), 'ping')
})
