import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { buildFlags } from './flags.ts'
import { isImageBuild } from './which.ts'

const cwd = mkdtempSync(join(tmpdir(), 'slipway-which-'))
mkdirSync(join(cwd, 'web'))
after(() => rmSync(cwd, { recursive: true }))

const cases: [words: string, image: boolean][] = [
  ['.', true],
  ['-t name .', true],
  ['./web', true],
  ['-', true],
  ['https://example.com/repo.git', true],
  ['-f Other --build-arg A=/b .', true],
  ['-t name web', true],
  ['--check web', true],
  ['-t', true],
  ['', false],
  ['web', false],
  ['web db', false],
  ['--no-cache web', false],
  ['--build-arg A=/b web', false],
  ['--with-dependencies web', false],
  ['-t name nosuch', false],
]
test('a place is an image, a word is a service, unless a flag says otherwise', () => {
  for (const [words, image] of cases)
    assert.equal(isImageBuild(words === '' ? [] : words.split(' '), buildFlags, cwd), image, words)
})
