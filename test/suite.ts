/**
 * Runs the tests that need root and says in the end what was run. Two files at a time; a file that fails is run once more by
 * itself, because some of these tests measure how the machine behaves, and is named in the end either way.
 * Usage: node test/suite.ts [--only TEXT] (files whose path contains TEXT)
 */
import { globSync } from 'node:fs'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'

const only = process.argv.includes('--only') ? process.argv[process.argv.indexOf('--only') + 1]! : ''
const groups = ['test/root/**/*.test.ts', 'test/clients/**/*.test.ts', 'test/scenarios/**/*.test.ts']
/** Nothing may hang the gate: a file that takes longer is stopped and counts as failed. */
const fileLimitMs = 6 * 60_000

interface Counts {
  passed: number
  failed: number
  /** Files with a failed test. */
  files: Set<string>
}

const runFiles = (files: string[], concurrency: number): Promise<Counts> =>
  new Promise((resolve) => {
    const counts: Counts = { passed: 0, failed: 0, files: new Set() }
    // A failed test may leave something open; its file ends all the same.
    const execArgv = ['--test-force-exit']
    const stream = run({ files, concurrency, timeout: fileLimitMs, isolation: 'process', execArgv })
    stream.on('test:pass', (event) => {
      if (event.details.type !== 'suite') counts.passed++
    })
    stream.on('test:fail', (event) => {
      const file = event.file ?? event.name
      counts.files.add(files.find((one) => file.endsWith(one)) ?? file)
      if (event.details.type !== 'suite') counts.failed++
    })
    stream.compose(new spec()).pipe(process.stdout, { end: false })
    stream.on('end', () => resolve(counts))
  })

const files = groups.flatMap((pattern) => globSync(pattern).sort()).filter((file) => file.includes(only))
if (files.length === 0) throw new Error(`no test file contains "${only}"`)

const started = Date.now()
const first = await runFiles(files, 2)
const again = [...first.files].filter((file) => files.includes(file))
const unknown = first.files.size - again.length
const second = again.length > 0 ? await runFiles(again, 1) : undefined
const failed = (second?.failed ?? 0) + unknown
process.stdout.write(`\n${files.length} files in ${Math.round((Date.now() - started) / 1000)} s\n`)
for (const file of again)
  process.stdout.write(`${second!.files.has(file) ? 'failed twice' : 'failed once, then passed by itself'}: ${file}\n`)
process.stdout.write(`${first.passed} passed, ${failed} failed\n`)
process.exit(failed > 0 || (second?.files.size ?? 0) > 0 ? 1 : 0)
