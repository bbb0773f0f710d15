import assert from 'node:assert/strict'
import { test } from 'node:test'
import { alignTabs, formatList, type Listing } from './format.ts'

const things: Listing<{ name: string; size: number }> = {
  type: 'formatter.thing',
  headers: { Name: 'NAME', Size: 'SIZE', ID: 'THING ID' },
  fields: ({ name, size }) => ({
    ID: () => `${name}1`,
    Name: () => name,
    Size: () => String(size),
    Label: () => (key) => `${key}!`,
  }),
}
const items = [
  { name: 'a', size: 1 },
  { name: 'a-long-name', size: 22 },
]
const table = 'table {{.Name}}\t{{.Size}}'
const show = (given: string, quiet = false): string => formatList(things, items, { given, table, quiet })

test('tables: columns at least ten wide, three between, the last as it is', () => {
  assert.equal(show(''), 'NAME          SIZE\na             1\na-long-name   22\n')
  assert.equal(
    show('table {{.Size}}\\t{{.Label "x.some-key"}}'),
    'SIZE      some key\n1         x.some-key!\n22        x.some-key!\n',
  )
  assert.equal(alignTabs('a\tb\tc\nno columns\n\ta\t'), 'a         b         c\nno columns\n          a         ')
})

test('json, templates, only ids', () => {
  assert.equal(
    show('json'),
    '{"ID":"a1","Name":"a","Size":"1"}\n{"ID":"a-long-name1","Name":"a-long-name","Size":"22"}\n',
  )
  assert.equal(show('{{.Name | upper}}={{pad .Size 1 0}}'), 'A= 1\nA-LONG-NAME= 22\n')
  assert.equal(show('', true), 'a1\na-long-name1\n')
})

test('a template that does not fit ends the command', () => {
  assert.throws(() => show('{{.Foo}}'), {
    code: 1,
    message: /^failed to execute template: .* in type \*formatter\.thing$/,
  })
  assert.throws(() => show('{{.Foo'), { code: 1, message: 'failed to parse template: template: :1: unclosed action' })
})
