import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { functionsIn, mask, readSource } from './source.ts'

const read = (text: string) => {
  const root = mkdtempSync(join(tmpdir(), 'slipway-source-'))
  try {
    writeFileSync(join(root, 'a.ts'), text)
    return readSource(root, 'a.ts')
  } finally {
    rmSync(root, { recursive: true })
  }
}

test('what is not code is blanked, line by line', () => {
  const text = "a('}') // {\nb(/[/{]}/g, `{${c({ d: '}' })}\n{`) /* }\n} */ / 2 / e"
  const code = mask(text)
  assert.equal(code.length, text.length)
  assert.equal(code.split('\n').length, text.split('\n').length)
  assert.equal(code.replace(/\s+/g, ''), "a('')b(,c({d:''}))/2/e")
})

test('imports of every form', () => {
  const { imports } = read(`import { a, type B as C } from './b.ts'
import type { D } from './d.ts'
import * as all from '../e.ts'
import 'f'
export { g } from './g.ts'
const late = async () => (await import('./late.ts')).x
type Far = typeof import('./far.ts')
// import { no } from './no.ts'
`)
  const told = imports.map(({ from, names, typeOnly }) => `${from} ${names}${typeOnly ? ' type' : ''}`)
  assert.deepEqual(told, ['b.ts a,B', 'd.ts D type', '../e.ts *', 'g.ts g', 'f ', 'late.ts *', 'far.ts * type'])
})

test('exports of every form', () => {
  const { exports } = read(`export const a = 1
export async function b() {}
export type { C } from './c.ts'
export * from './d.ts'
export class E {}
const no = 'export const f = 1'
`)
  assert.deepEqual(exports.map(({ name }) => name).sort(), ['*', 'C', 'E', 'a', 'b'])
})

test('functions and their lines', () => {
  const code = mask(`export const outer = async (
  a: { b: number },
): Promise<Map<string, number>> => {
  if (a) {
    return run((x) => {
      go(x)
    })
  }
}
class K {
  #method(this: K): void {
    for (const x of y) {
    }
  }
}
`)
  assert.deepEqual(
    functionsIn(code).map(({ name, line, lines }) => [name, line, lines]),
    [
      ['(anonymous)', 5, 3],
      ['outer', 1, 9],
      ['#method', 11, 4],
    ],
  )
})
