import assert from 'node:assert/strict'
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { LogOptions } from '../types.ts'
import { EntryReader, inUtc, parseEntry } from './format.ts'
import { readLogs, shiftFiles } from './index.ts'

const stamp = (i: number): string => `2026-01-02T03:04:${String(i % 60).padStart(2, '0')}.000000001+00:00`
const entry = (i: number, text: string, stream = 'stdout', tag = 'F'): string =>
  `${stamp(i)} ${stream} ${tag} ${text}\n`

const inTemp = async (body: (path: string) => Promise<void>): Promise<void> => {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-logs-'))
  try {
    await body(join(dir, 'log'))
  } finally {
    rmSync(dir, { recursive: true })
  }
}
const read = async (path: string, options: LogOptions = {}): Promise<string> => {
  let text = ''
  for await (const lines of readLogs({ path, active: () => false, onChange: () => () => {} }, options))
    for (const { data } of lines) text += data.toString()
  return text
}

test('entries: streams, parts, times of any zone, torn lines', () => {
  const parse = (text: string) => parseEntry(Buffer.from(`${text}\n`), 0, text.length)
  const { time, ms, stream, partial, data } = parse('2026-01-02T03:04:05.123456789+02:00 stderr P half a ')!
  assert.deepEqual(
    { time, ms, stream, partial, data: Buffer.from(data) },
    {
      time: '2026-01-02T01:04:05.123456789Z',
      ms: Date.parse('2026-01-02T01:04:05.123Z'),
      stream: 'stderr',
      partial: true,
      data: Buffer.from('half a '),
    },
  )
  assert.equal(parse(`${stamp(1)} stdout F `)?.data.toString(), '\n')
  for (const torn of ['', 'x', `${stamp(1)} stdout`, `${stamp(1)} other F x`, 'notatime stdout F x'])
    assert.equal(parse(torn), undefined, torn)
  assert.equal(inUtc('2026-01-02T03:04:05.5+00:00'), '2026-01-02T03:04:05.5Z')
})

test('lines are cut anywhere', () => {
  const whole = Buffer.from(['a', 'bc', '', 'd'].map((text, i) => entry(i, text)).join(''))
  for (let cut = 0; cut <= whole.length; cut++) {
    const reader = new EntryReader()
    const read = [whole.subarray(0, cut), whole.subarray(cut)].flatMap((block) => reader.push(Buffer.from(block)))
    assert.deepEqual(
      read.map(({ data }) => data.toString()),
      ['a\n', 'bc\n', '\n', 'd\n'],
    )
  }
})

test('tails of every length, over blocks and files', () =>
  inTemp(async (path) => {
    const long = 'x'.repeat(3000)
    const lines = Array.from({ length: 400 }, (_, i) => `${i} ${long}`)
    writeFileSync(
      `${path}.1`,
      lines
        .slice(0, 150)
        .map((text, i) => entry(i, text))
        .join(''),
    )
    writeFileSync(
      path,
      lines
        .slice(150)
        .map((text, i) => entry(i, text))
        .join(''),
    )
    for (const tail of [0, 1, 2, 85, 249, 250, 251, 399, 400, 500]) {
      const text = await read(path, { tail })
      assert.equal(
        text,
        lines
          .slice(Math.max(0, lines.length - tail))
          .map((line) => `${line}\n`)
          .join(''),
        `tail ${tail}`,
      )
    }
    assert.equal((await read(path)).length, lines.join('\n').length + 1)
  }))

test('a tail keeps the parts of its lines; streams and times choose', () =>
  inTemp(async (path) => {
    writeFileSync(path, entry(1, 'one') + entry(2, 'tw', 'stdout', 'P') + entry(2, 'o') + entry(3, 'three', 'stderr'))
    assert.equal(await read(path, { tail: 2 }), 'two\nthree\n')
    assert.equal(await read(path, { stdout: false }), 'three\n')
    assert.equal(await read(path, { since: Date.parse('2026-01-02T03:04:02Z'), stderr: false }), 'two\n')
    assert.equal(await read(path, { until: Date.parse('2026-01-02T03:04:01Z') }), 'one\n')
  }))

test('a follower sees what is added, through a rotation, to the end', () =>
  inTemp(async (path) => {
    writeFileSync(path, entry(1, 'one'))
    let active = true
    let changed = (): void => {}
    const onChange = (listener: () => void): (() => void) => {
      changed = listener
      return () => {}
    }
    const source = { path, active: () => active, onChange }
    const seen: string[] = []
    const reading = (async () => {
      for await (const lines of readLogs(source, { follow: true })) {
        seen.push(...lines.map(({ data }) => data.toString().trim()))
        if (seen.length === 1) appendFileSync(path, entry(2, 'two'))
        if (seen.length === 2) {
          renameSync(path, `${path}.1`)
          appendFileSync(`${path}.1`, entry(3, 'three'))
          writeFileSync(path, entry(4, 'four'))
        }
        if (seen.length === 4) {
          appendFileSync(path, entry(5, 'five'))
          active = false
          changed()
        }
      }
    })()
    await reading
    assert.deepEqual(seen, ['one', 'two', 'three', 'four', 'five'])
  }))

test('shifting keeps as many files as wanted', () =>
  inTemp(async (path) => {
    for (let i = 0; i < 5; i++) {
      writeFileSync(path, entry(i, String(i)))
      shiftFiles(path, 3)
    }
    assert.equal(await read(path), '3\n4\n')
    writeFileSync(path, entry(9, 'last'))
    shiftFiles(path, 1)
    assert.equal(await read(path), '3\n4\n')
  }))
