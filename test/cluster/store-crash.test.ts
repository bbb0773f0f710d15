/** What the store has said is written survives a kill at any instant. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { openStore } from '../../src/cluster/store/index.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { openDatabase } from '../../src/lib/database.ts'

const open = (path: string) => openStore({ db: openDatabase(path), clock: systemClock, freeze: false })

/** The child: writes without end and says after each write what it was. */
const write = async (path: string): Promise<void> => {
  const store = open(path)
  for (let i = 0; ; i++) {
    const name = `o${i % 50}`
    const object = { metadata: { namespace: 'n', name }, data: { i } }
    const stored = store.get('things', 'n', name) ? store.update('things', object) : store.create('things', object)
    process.stdout.write(`${name} ${i} ${stored.metadata.resourceVersion}\n`)
    if (i % 10 === 0) await new Promise((done) => setImmediate(done))
  }
}

if (process.env.STORE_CRASH_PATH) await write(process.env.STORE_CRASH_PATH)
else
  test('a kill loses nothing that was acknowledged', async (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'store-crash-'))
    t.after(() => rmSync(dir, { recursive: true }))
    const path = join(dir, 'db')
    const acknowledged = new Map<string, { i: number; revision: number }>()
    for (let round = 0; round < 3; round++) {
      // Without the runner's marks, or the child would report to it instead of writing.
      const { NODE_TEST_CONTEXT: _, ...env } = process.env
      const child = spawn(process.execPath, [import.meta.filename], {
        env: { ...env, STORE_CRASH_PATH: path },
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let lines = 0
      for await (const line of createInterface({ input: child.stdout })) {
        const [name, i, revision] = line.split(' ')
        // The kill may cut the last line.
        if (revision) acknowledged.set(name!, { i: Number(i), revision: Number(revision) })
        if (++lines === 200 + 70 * round) child.kill('SIGKILL')
      }
      const store = open(path)
      for (const [name, { i, revision }] of acknowledged) {
        const found = store.get('things', 'n', name)
        assert.ok(found, name)
        assert.ok(Number(found.metadata.resourceVersion) >= revision)
        if (Number(found.metadata.resourceVersion) === revision) assert.equal((found.data as { i: number }).i, i)
      }
      const last = store.changesSince('things', 1).at(-1)!
      assert.equal(last.revision, store.revision)
      assert.equal(
        store.get('things', 'n', last.object.metadata.name!)?.metadata.resourceVersion,
        String(last.revision),
      )
      acknowledged.clear()
    }
  })
