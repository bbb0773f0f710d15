import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isError, type SlipwayError } from '../../errors.ts'
import { foreignFrontend, syntaxOf } from './frontend.ts'
import { parseDockerfile } from './parser.ts'
import { pairs, quotedWords, takeFlags } from './words.ts'

const statements = (text: string) => parseDockerfile('Dockerfile', text).lines.statements
const texts = (text: string): string[] => statements(text).map((statement) => statement.text)
const failure = (text: string): SlipwayError => {
  try {
    parseDockerfile('Dockerfile', text)
  } catch (error) {
    assert.ok(isError(error, 'invalid'), String(error))
    return error
  }
  return assert.fail(`no error: ${text}`)
}
/** Message without its prefix. */
const said = (text: string): string => failure(text).message.replace(/^dockerfile parse error on line \d+: /, '')

test('directives: at the top only, case does not matter, duplicates are errors', () => {
  const of = (text: string) => parseDockerfile('Dockerfile', text).directives
  assert.equal(of('# escape=`\nFROM a').escape, '`')
  assert.equal(of('#ESCAPE = `\nFROM a').escape, '`')
  assert.equal(of('# comment\n# escape=`\nFROM a').escape, '\\')
  assert.equal(of('\n# escape=`\nFROM a').escape, '\\')
  assert.equal(of('# unknown=1\n# escape=`\nFROM a').escape, '\\')
  assert.equal(of('# syntax=docker/dockerfile:1\n# escape=`\nFROM a').escape, '`')
  assert.equal(of('\uFEFF# escape=`\nFROM a').escape, '`')
  assert.equal(said('# escape=`\n# ESCAPE=`\nFROM a'), 'only one escape parser directive can be used')
  assert.equal(said('# escape=x\nFROM a'), "invalid ESCAPE 'x' does not match ` or \\")
  assert.equal(of('# syntax=a\n# check=skip=A,B;error=true\nFROM a').check, 'skip=A,B;error=true')
  assert.equal(of('#!/usr/bin/env x\n# check=skip=all\nFROM a').check, 'skip=all')
  assert.equal(of('#!/usr/bin/env x\n\n# check=skip=all\nFROM a').check, '')
})

test('continuation lines', () => {
  assert.deepEqual(texts('FROM a\nRUN a \\\n  b\nRUN c'), ['FROM a', 'RUN a   b', 'RUN c'])
  assert.deepEqual(texts('FROM a\nRUN a \\\n# comment\n   # indented\n  b'), ['FROM a', 'RUN a   b'])
  assert.deepEqual(texts('FROM a\nRUN a \\ \t\n  b'), ['FROM a', 'RUN a   b'], 'blanks after the backslash')
  assert.deepEqual(texts('FROM a\nRUN a \\\\\nRUN b'), ['FROM a', 'RUN a \\\\', 'RUN b'], 'an escaped backslash')
  assert.deepEqual(texts('# escape=`\nFROM a\nRUN a \\\nRUN b `\n c'), ['FROM a', 'RUN a \\', 'RUN b  c'])
  assert.deepEqual(texts('FROM a\r\nRUN b \\\r\n c\r\n'), ['FROM a', 'RUN b  c'])
  assert.deepEqual(texts('\uFEFFFROM a'), ['FROM a'])
  assert.deepEqual(texts('  FROM a\n\t# c\n\n  run b'), ['FROM a', 'run b'])
})

test('an empty continuation line is skipped and noted', () => {
  const { lines } = parseDockerfile('Dockerfile', 'FROM a\nRUN a \\\n\n  b\n')
  assert.deepEqual(lines.emptyContinuations, [{ start: 4, end: 4 }])
  assert.deepEqual(lines.statements[1]!.range, { start: 2, end: 4 })
  assert.equal(lines.statements[1]!.text, 'RUN a   b')
  assert.deepEqual(parseDockerfile('Dockerfile', 'FROM a\nRUN a \\\n').lines.emptyContinuations, [])
})

test('here-documents', () => {
  const docs = (text: string) => statements(`FROM a\n${text}`)[1]!.heredocs
  assert.deepEqual(docs('RUN <<EOF\na $b\n# no comment\n\nEOF\n'), [
    { name: 'EOF', expand: true, chomp: false, content: 'a $b\n# no comment\n\n' },
  ])
  assert.deepEqual(docs('COPY <<"E F" /x\n$b\nE F\n')[0] ?? 'none', {
    name: 'E F',
    expand: false,
    chomp: false,
    content: '$b\n',
  })
  assert.deepEqual(
    docs("COPY <<'A' <<-B /x\n1\nA\n\t2\n\tB\n").map(({ name, content, chomp }) => [name, content, chomp]),
    [
      ['A', '1\n', false],
      ['B', '\t2\n', true],
    ],
  )
  assert.equal(docs('RUN cat 3<<EOF\nx\nEOF\n')[0]?.content, 'x\n')
  assert.deepEqual(docs('RUN echo "<<EOF"'), [], 'quoted')
  assert.deepEqual(docs('RUN ["a", "<<EOF"]'), [], 'JSON form')
  assert.deepEqual(docs('RUN cat <<<EOF'), [], "a here-string is the shell's")
  assert.deepEqual(docs('ENV a=<<EOF'), [], 'only RUN, COPY and ADD')
  assert.equal(docs('ONBUILD RUN <<EOF\nx\nEOF\n')[0]?.content, 'x\n')
  const names = (text: string) => docs(text).map(({ name, expand }) => `${name} ${expand}`)
  assert.deepEqual(names('RUN <<  EOF > x\nEOF\n'), ['EOF true'], 'blanks before the word')
  assert.deepEqual(names('RUN <<- A << -B\nA\n-B\n'), ['A true', '-B true'])
  assert.deepEqual(names("RUN <<e\\'f\ne'f\n"), ["e'f true"], 'an escaped quote quotes nothing')
  assert.deepEqual(names("RUN <<e'f'\nef\n"), ['ef false'])
  assert.equal(docs('COPY <<EOF /x\r\na\r\n\r\nEOF\r\n')[0]?.content, 'a\r\n\r\n', 'line ends belong to it')
  assert.equal(said('FROM a\nRUN <<EOF\nx\n'), 'unterminated heredoc')
  assert.equal(said('FROM a\nRUN echo \udce4\n'), 'invalid UTF-8')
  assert.equal(said('FROM a\nCOPY <<EOF /x\n\udce4\nEOF\n'), 'invalid UTF-8')
  assert.deepEqual(docs('# \udce4\nRUN echo \\\n# \udce4\n  a\n'), [], 'comments may be in any encoding')
})

test('flags and words', () => {
  assert.deepEqual(takeFlags('--a=1 --b="x y" --c rest --d'), { flags: ['--a=1', '--b=x y', '--c'], rest: 'rest --d' })
  assert.deepEqual(takeFlags('-- --a b'), { flags: [], rest: ' --a b' })
  assert.deepEqual(quotedWords('a="b c" d=e\\ f \'g h\'', '\\'), ['a="b c"', 'd=e\\ f', "'g h'"])
  const keys = (text: string) => pairs('ENV', text, '\\').map(({ key, value, legacy }) => [key, value, legacy])
  assert.deepEqual(keys('ONE TWO= THREE=world'), [['ONE', 'TWO= THREE=world', true]])
  assert.deepEqual(keys('A=1 B="2 3"'), [
    ['A', '1', false],
    ['B', '"2 3"', false],
  ])
  assert.throws(() => pairs('ENV', 'A=1 B', '\\'), /can't find = in "B"/)
  assert.throws(() => pairs('ENV', 'A', '\\'), /ENV must have two arguments/)
  assert.throws(() => pairs('ENV', '=1', '\\'), /ENV names can not be blank/)
})

test('errors: wording, position, caret and what was meant', () => {
  assert.equal(failure('').message, 'file with no instructions')
  const error = failure('FROM a\n\nRUNN echo hi\n')
  assert.equal(error.message, 'dockerfile parse error on line 3: unknown instruction: RUNN (did you mean RUN?)')
  assert.deepEqual(error.at, { file: 'Dockerfile', line: 3, column: 1 })
  assert.match((error.details as { source: string }).source, / {3}3 \| >>> RUNN echo hi\n {5}\| {5}\^/)
  const flag = failure('FROM a\nCOPY --form=b . .')
  assert.match(flag.message, /unknown flag: --form \(did you mean from\?\)/)
  assert.equal(flag.at?.column, 6)
})

test('what instructions refuse', () => {
  const cases: [string, RegExp][] = [
    ['FROM a b', /FROM requires either one or three arguments/],
    ['FROM a AS 1x', /invalid name for build stage: "1x"/],
    ['RUN x', /no build stage in current context/],
    ['FROM a\nCOPY x', /COPY requires at least two arguments, but only one was provided/],
    ['FROM a\nCOPY x <<EOF\ny\nEOF', /COPY cannot accept a heredoc as a destination/],
    ['FROM a\nCOPY --from=$x . .', /variable expansion is not supported for --from/],
    ['FROM a\nCOPY --link=maybe . .', /expecting boolean value for flag --link, not: maybe/],
    ['FROM a\nCOPY --chown . .', /missing a value on flag: --chown/],
    ['FROM a\nCOPY --chown=a --chown=b . .', /duplicate flag specified: --chown/],
    ['FROM a\nSHELL /bin/bash', /SHELL requires the arguments to be in JSON form/],
    ['FROM a\nONBUILD ONBUILD RUN x', /Chaining ONBUILD/],
    ['FROM a\nONBUILD FROM x', /FROM isn't allowed as an ONBUILD trigger/],
    ['FROM a\nWORKDIR', /WORKDIR requires exactly one argument/],
    ['FROM a\nEXPOSE', /EXPOSE requires at least one argument/],
    ['FROM a\nVOLUME []', /VOLUME requires at least one argument/],
    ['FROM a\nCMD ["a", 1]', /arrays must be comprised of strings only/],
    ['FROM a\nHEALTHCHECK', /HEALTHCHECK requires at least one argument/],
    ['FROM a\nHEALTHCHECK NONE x', /HEALTHCHECK NONE takes no arguments/],
    ['FROM a\nHEALTHCHECK RUN x', /Unknown type "RUN" in HEALTHCHECK \(try CMD\)/],
    ['FROM a\nHEALTHCHECK CMD', /Missing command after HEALTHCHECK CMD/],
    ['FROM a\nHEALTHCHECK --interval=1us CMD x', /Interval "interval" cannot be less than 1ms/],
    ['FROM a\nHEALTHCHECK --interval=5 CMD x', /time: invalid duration "5"/],
    ['FROM a\nHEALTHCHECK --retries=-1 CMD x', /--retries cannot be negative/],
    ['FROM a\nRUN --mount=type=bind,from=$x,target=/a y', /'from' doesn't support variable expansion/],
    ['FROM a\nRUN --network=moon x', /invalid network mode "moon"/],
    ['FROM a\nRUN --security=moon x', /security "moon" is not valid/],
    ['FROM a\nARG', /ARG requires at least one argument/],
    ['ARG A=1', /no stages to build/],
  ]
  for (const [text, expected] of cases) assert.match(said(text), expected, text)
})

test('syntax: what is not a Dockerfile frontend is told of', () => {
  for (const ours of [
    'docker/dockerfile:1',
    'docker.io/docker/dockerfile:1.7-labs',
    'reg.test:5000/m/dockerfile@sha256:0',
    'docker/dockerfile-upstream:master',
    'dockerfile.v0',
  ])
    assert.equal(foreignFrontend(ours), undefined, ours)
  assert.equal(foreignFrontend('me/dockerfile-x:1 option'), 'me/dockerfile-x:1')
  assert.equal(foreignFrontend(undefined), undefined)
})

test('the frontend that a file names, in whatever language', () => {
  assert.equal(syntaxOf('#!/usr/bin/env docker\n# escape=`\n# SYNTAX = a/b:1 x\nFROM scratch'), 'a/b:1 x')
  assert.equal(syntaxOf('\uFEFF// syntax=a/b\nlet x = 1'), 'a/b')
  assert.equal(syntaxOf('{\n "syntax": "a/b", "more": [1] }'), 'a/b')
  for (const none of ['FROM scratch\n# syntax=a/b', '\n# syntax=a/b', '{"syntax": 1}', '{x', ''])
    assert.equal(syntaxOf(none), undefined, none)
})
