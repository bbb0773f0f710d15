/**
 * Runs the tests that need root, one file after another where they would disturb each other, and says in the end what was
 * run. Usage: node test/suite.ts [--only TEXT] (files whose path contains TEXT)
 */
import { globSync } from 'node:fs'
import { run } from 'node:test'
import { dot, spec } from 'node:test/reporters'

const only = process.argv.includes('--only') ? process.argv[process.argv.indexOf('--only') + 1]! : ''
const groups = ['test/root/**/*.test.ts', 'test/clients/**/*.test.ts', 'test/scenarios/**/*.test.ts']
/** Nothing may hang the gate: a file that takes longer is stopped and counts as failed. */
const fileLimitMs = 6 * 60_000

const files = groups.flatMap((pattern) => globSync(pattern).sort()).filter((file) => file.includes(only))
if (files.length === 0) throw new Error(`no test file contains "${only}"`)

const counts = { passed: 0, failed: 0 }
const started = Date.now()
const stream = run({ files, concurrency: 2, timeout: fileLimitMs, isolation: 'process' })
stream.on('test:pass', (event) => {
  if (event.details.type !== 'suite') counts.passed++
})
stream.on('test:fail', (event) => {
  if (event.details.type === 'suite') return
  counts.failed++
  process.exitCode = 1
})
stream.on('test:summary', (summary) => {
  if (!summary.success) process.exitCode = 1
})
const reporter = process.env.TEST_REPORTER === 'dot' ? dot : new spec()
stream.compose(reporter as typeof dot).pipe(process.stdout)
stream.on('end', () => {
  process.stdout.write(
    `\n${files.length} files in ${Math.round((Date.now() - started) / 1000)} s\n${counts.passed} passed, ${counts.failed} failed\n`,
  )
})
