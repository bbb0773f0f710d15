import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Absent, builtinNames, parseTemplate, renderTemplate, Row, type Value } from './index.ts'

const data = {
  Name: '/n',
  Yes: true,
  One: 1,
  None: null,
  State: { Status: 'up' },
  Env: ['a=1', 'b=2'],
  Labels: { 'a.b': 'z', B: 'y' },
}
const fill = (source: string, value: Value = data, missing: 'error' | 'no value' = 'error'): string =>
  renderTemplate(parseTemplate(source, builtinNames), value, { missing })

const cases: [source: string, expected: string][] = [
  ['{{.Name}} {{ .State.Status }} {{$.One}}', '/n up 1'],
  ['{{range $i, $e := .Env}}{{$i}}={{$e}};{{end}}', '0=a=1;1=b=2;'],
  ['{{range $k, $v := .Labels}}{{$k}}:{{$v}},{{end}}', 'B:y,a.b:z,'],
  ['{{range .Nothing}}x{{else}}none{{end}}', 'none'],
  ['{{range .Env}}{{if eq . "b=2"}}{{break}}{{end}}{{.}}{{end}}', 'a=1'],
  ['{{range .Env}}{{if eq . "a=1"}}{{continue}}{{end}}{{.}}{{end}}', 'b=2'],
  ['{{range 3}}{{.}}{{end}}', '012'],
  ['{{if and .Yes (eq .One 1)}}y{{else}}n{{end}}', 'y'],
  ['{{if .None}}a{{else if not .Yes}}b{{else}}c{{end}}', 'c'],
  ['{{with .State}}{{.Status | printf "%-4s|"}}{{end}}', 'up  |'],
  ['{{with $x := .One}}{{$x}}{{end}}{{$y := 2}}{{$y = 3}}{{$y}}', '13'],
  ['a {{- /* nothing */ -}} b{{- 1 }} {{ 2 -}} c', 'ab1 2c'],
  ['{{index .Labels "a.b"}} {{index .Env 1}} {{len .Env}} {{slice .Name 1}}', 'z b=2 2 n'],
  ['{{.Labels}} {{.Env}} {{.None}} {{.Missing}}', 'map[B:y a.b:z] [a=1 b=2] <nil> <no value>'],
  [
    '{{printf "%05d|%-3s|%3s|%q|%v|%x|%.1f|%%" 42 "a" "b" "c\\n" true "hi" 1.25}}',
    '00042|a  |  b|"c\\n"|true|6869|1.3|%',
  ],
  ['{{printf "%d %s" 1}} {{printf "a" 1}}', '1 %!s(MISSING) a%!(EXTRA int=1)'],
  ['{{print "a" 1 2 "b"}}{{println 1 2}}', 'a1 2b1 2\n'],
  ['{{lt 1 2}} {{ge 1.5 1.5}} {{ne "a" "b"}} {{eq 1 2 1}} {{or "" "x"}} {{and 1 0}}', 'true true true true x 0'],
  ['{{define "t"}}<{{.}}>{{end}}{{template "t" .Name}}{{block "b" .One}}{{.}}{{end}}', '</n>1'],
  ["{{`raw \\n`}} {{'a'}} {{0x10}} {{1_000}}", 'raw \\n 97 16 1000'],
  ['{{html "<a>"}} {{urlquery "a b&c"}}', '&lt;a&gt; a+b%26c'],
]
test('templates as Go fills them', () => {
  for (const [source, expected] of cases) assert.equal(fill(source, data, 'no value'), expected, source)
})

const wrong: [source: string, message: string][] = [
  ['{{.Foo}}', 'template: :1:2: executing "" at <.Foo>: map has no entry for key "Foo"'],
  ['\n{{.State.Foo.Bar}}', 'template: :2:8: executing "" at <.State.Foo.Bar>: map has no entry for key "Foo"'],
  ['{{index .Env 9}}', 'template: :1:2: executing "" at <index .Env 9>: error calling index: index out of range: 9'],
  ['{{.Name', 'template: :1: unclosed action'],
  ['{{foo}}', 'template: :1: function "foo" not defined'],
  ['{{if .Yes}}', 'template: :1: unexpected EOF'],
  ['{{end}}', 'template: :1: unexpected {{end}}'],
  ['{{$x}}', 'template: :1: undefined variable "$x"'],
  ['{{"a}}', 'template: :1: unterminated quoted string'],
  ['{{}}', 'template: :1: missing value for command'],
]
test("errors are Go's", () => {
  for (const [source, message] of wrong) assert.throws(() => fill(source), { message }, source)
})

test('rows: computed fields, functions of them, JSON in order', () => {
  const row = new Row('formatter.Row', { B: () => '<b>', A: () => 'a', Twice: () => (text) => `${text}${text}` })
  assert.equal(fill('{{.B}} {{.Twice "x"}} {{.A | .Twice}}', row), '<b> xx aa')
  assert.throws(() => fill('{{.C}}', row), {
    message: `template: :1:2: executing "" at <.C>: can't evaluate field C in type *formatter.Row`,
  })
})

test('what is absent reads as zero, and has nothing in it', () => {
  const value = { Health: new Absent(null), Signal: new Absent('') }
  assert.equal(fill('{{.Health}}|{{.Signal}}|{{if .Health}}a{{else}}b{{end}}', value), '<nil>||b')
  assert.throws(() => fill('{{.Health.Status}}', value), { message: /map has no entry for key "Health"$/ })
})
