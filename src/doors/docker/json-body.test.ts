import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkContentType, parseBody } from './json-body.ts'

test('a body that is not JSON is refused in the words of the decoder dockerd has', () => {
  const refusals: [string, string][] = [
    ['{invalid json', "invalid JSON: invalid character 'i' looking for beginning of object key string"],
    ['{} trailing', 'unexpected content after JSON'],
    ['{"a" 1}', "invalid JSON: invalid character '1' after object key"],
    ['{"a":1 "b":2}', `invalid JSON: invalid character '"' after object key:value pair`],
    ['[1 2]', "invalid JSON: invalid character '2' after array element"],
    ['[1,]', "invalid JSON: invalid character ']' looking for beginning of value"],
    ['{"a":tru3}', "invalid JSON: invalid character '3' in literal true (expecting 'e')"],
    ['{"a":-x}', "invalid JSON: invalid character 'x' in numeric literal"],
    ['{"a":1.x}', "invalid JSON: invalid character 'x' after decimal point in numeric literal"],
    ['"\\q"', "invalid JSON: invalid character 'q' in string escape code"],
    ['"\\u00g0"', "invalid JSON: invalid character 'g' in \\u hexadecimal character escape"],
    ['{"a":', 'invalid JSON: unexpected EOF'],
    ['  \n', 'invalid JSON: got EOF while reading request body'],
  ]
  for (const [text, message] of refusals) assert.throws(() => parseBody(text), { code: 'bad-request', message }, text)
  assert.deepEqual(parseBody(''), {})
  assert.deepEqual(parseBody('null'), {})
  assert.deepEqual(parseBody(' {"a":[1,true]} \n'), { a: [1, true] })
})

test('only application/json is taken, and nothing where there is no body', () => {
  checkContentType(undefined, 0)
  checkContentType('application/json', 2)
  checkContentType('Application/JSON; charset=utf-8', 2)
  assert.throws(() => checkContentType('text/plain', 2), {
    message: "unsupported Content-Type header (text/plain): must be 'application/json'",
  })
  assert.throws(() => checkContentType(undefined, 2), { message: /^malformed Content-Type header/ })
})
