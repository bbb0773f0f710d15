import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parametersOf, targetsOf } from './describe.ts'
import { parseDockerfile } from './dockerfile/parser.ts'
import { answerOf } from './progress/index.ts'
import { plan } from './solver/plan.fixture.ts'
import { globalScope } from './solver/scope.ts'

const described = async (text: string, target?: string, args: Record<string, string> = {}) => {
  const dockerfile = parseDockerfile('Dockerfile', text)
  const planned = await plan(text, { args, ...(target === undefined ? {} : { target }) })
  const found = parametersOf(dockerfile, planned, globalScope(dockerfile, [], args))
  return {
    ...{ file: 'Dockerfile', text, targets: targetsOf(dockerfile), warnings: [], error: undefined },
    ...found,
    said: found.args.map(({ line, name, value = '-', description }) =>
      `${line} ${name}=${value} ${description}`.trim(),
    ),
  }
}

test('arguments: those that matter to the target, with the values they get', async () => {
  const text = [
    'ARG base=wolf',
    'ARG other=$base',
    '# image is where it begins',
    'ARG image="$base-1"',
    'FROM $image AS one',
    '# about something else',
    'ARG A=1',
    '# B counts',
    'ARG B=2',
    'FROM x$other AS two',
    'ARG C',
    'FROM scratch AS three',
    'ARG D=d$B',
    'FROM three AS all',
    'COPY --from=one /a /',
    'FROM two',
  ].join('\n')
  assert.deepEqual((await described(text, 'all', { B: '7' })).said, [
    '1 base=wolf',
    '4 image=wolf-1 is where it begins',
    '7 A=1',
    '9 B=7 counts',
    '13 D=d',
  ])
  assert.deepEqual((await described(text)).said, ['1 base=wolf', '2 other=wolf', '11 C=-'])
})

test('arguments made of earlier ones of the same name', async () => {
  const text = 'ARG V=1\nARG W=w\nARG U=u\nARG V=$V$W\nFROM a\nARG V\nARG X=x\nARG X=$X$X'
  assert.deepEqual((await described(text)).said, ['2 W=w', '6 V=1w', '8 X=xx'])
})

test('secrets and agents in order, and the text of it all', async () => {
  const found = await described(
    'FROM a AS one\nRUN --mount=type=ssh,required x\nFROM b AS all\n# N is a number\nARG N=1\nCOPY --from=one /a /\nRUN --mount=type=secret,id=s$N --mount=type=secret,id=t,required true',
  )
  assert.deepEqual(
    found.secrets.map(({ name, required, line }) => [name, required, line]),
    [
      ['s1', false, 7],
      ['t', true, 7],
    ],
  )
  assert.equal(
    answerOf(found, 'outline', undefined).text,
    [
      'TARGET: all\n',
      'BUILD ARG   VALUE   DESCRIPTION\nN           1       is a number\n',
      'SECRET   REQUIRED\ns1\nt        true\n',
      'SSH       REQUIRED\ndefault   true\n',
    ]
      .map((table) => `${table}\n`)
      .join(''),
  )
})

test('targets: all stages, also without a name', async () => {
  const found = await described('# one is first\nFROM a AS one\nFROM b\nFROM --platform=$BUILDPLATFORM one AS last')
  const { json, text } = answerOf(found, 'targets', undefined)
  assert.equal(text, 'TARGET         DESCRIPTION\none            is first\n\nlast (default)\n')
  const place = (line: number) => ({ sourceIndex: 0, ranges: [{ start: { line }, end: { line } }] })
  assert.deepEqual((json as { targets: object[] }).targets, [
    { name: 'one', description: 'is first', base: 'a', location: place(2) },
    { base: 'b', location: place(3) },
    { name: 'last', default: true, base: 'one', platform: '$BUILDPLATFORM', location: place(4) },
  ])
})
