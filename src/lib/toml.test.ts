import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isError } from '../errors.ts'
import { parseToml } from './toml.ts'

test('tables, quoted keys, lists over lines, comments', () => {
  const text = `# top
server = "https://docker.io" # said
[host."https://mirror.example:5000"]
  capabilities = ["pull", # one
    'resolve', ]
  skip_verify = true
  n = -1_000
  client = [["a.cert", "a.key"], ["b"]]
  [host."https://mirror.example:5000".header]
    x-a = "\\"q\\" \\u00e9"
[host.'http://x']
a.b = { c = 1, d = [] }
[[list]]
n = 1
[[list]]
n = 2.5
`
  assert.deepEqual(parseToml(text, 'f'), {
    server: 'https://docker.io',
    host: {
      'https://mirror.example:5000': {
        capabilities: ['pull', 'resolve'],
        skip_verify: true,
        n: -1000,
        client: [['a.cert', 'a.key'], ['b']],
        header: { 'x-a': '"q" é' },
      },
      'http://x': { a: { b: { c: 1, d: [] } } },
    },
    list: [{ n: 1 }, { n: 2.5 }],
  })
  assert.deepEqual(parseToml('', 'f'), {})
})

test('what is wrong is said with its line', () => {
  for (const [text, message] of [
    ['a = 1\na = 2', 'f:2: "a" is given twice'],
    ['a = "x', 'f:1: a string does not end'],
    ['a = \n', 'f:1: a value is missing'],
    ['a = 1 b = 2', 'f:1: more than one thing in a line'],
    ['a = 1\n[a]', 'f:2: "a" is no table'],
    ['a = [1 2]', 'f:1: "]" is missing'],
    ['= 1', 'f:1: a key is missing'],
    ['a = "\\q"', 'f:1: \\q is no escape'],
  ] as const)
    assert.throws(
      () => parseToml(text, 'f'),
      (error) => isError(error, 'invalid') && error.message === message,
      text,
    )
  assert.equal(Object.getPrototypeOf(parseToml('[__proto__]\nx = 1', 'f')), Object.prototype)
})
