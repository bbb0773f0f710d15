import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createControlClient } from './client.ts'

test('a daemon that dies in the middle of an answer went away, in words', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-control-'))
  const socket = join(dir, 'control.sock')
  // A line, half a line, and the end; of the status, half of it.
  const server = createServer((request, response) => {
    response.write(request.url === '/v1/status' ? '{"ver' : '{"transfer":{"status":"Pulling"}}\n{"res', () =>
      response.destroy(),
    )
  })
  await new Promise<void>((resolve) => server.listen(socket, resolve))
  try {
    const client = createControlClient(socket)
    const gone = { code: 'unavailable', message: 'the slipway daemon went away in the middle of the request' }
    const said: string[] = []
    await assert.rejects(
      client.ensureImage({} as never, ({ status }) => said.push(status), new AbortController().signal),
      gone,
    )
    assert.deepEqual(said, ['Pulling'])
    await assert.rejects(client.status(), gone)
  } finally {
    server.close()
    rmSync(dir, { recursive: true })
  }
})
