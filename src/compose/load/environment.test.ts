// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are Compose templates, not ours
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseDotenv, parseRawEnv } from './dotenv.ts'
import { failure, loadFiles, web } from './fixture.ts'
import { problems, Sources } from './problem.ts'

const problem = problems(new Sources())
const parse = (text: string, env: Record<string, string> = {}): Record<string, string> =>
  Object.fromEntries(parseDotenv(text, '.env', (name) => env[name], problem))

const cases: [what: string, text: string, result: Record<string, string>][] = [
  ['plain', 'A=1\nB = two words \n', { A: '1', B: 'two words' }],
  ['export, colon, BOM', '\uFEFFexport A=1\nB: 2\n', { A: '1', B: '2' }],
  ['comments', '# all\nA=1 # one\nB=x#y\nC=#none\nD="q" # after\n', { A: '1', B: 'x#y', C: '', D: 'q' }],
  ['single quotes are literal', "A='$B \\n'\n", { A: '$B \\n' }],
  ['double quotes know escapes', 'A="x\\ny\\t\\"z\\""\n', { A: 'x\ny\t"z"' }],
  ['unquoted ones do not', 'A=x\\ny\n', { A: 'x\\ny' }],
  ['quotes span lines', 'A="one\ntwo"\nB=\'three\nfour\'\nC=5\n', { A: 'one\ntwo', B: 'three\nfour', C: '5' }],
  ['KEY= is empty, KEY alone is absent', 'A=\nB\n', { A: '' }],
  ['values mention earlier ones', 'A=1\nB=${A}2\nC="$B"\nD=${NONE:-x}\n', { A: '1', B: '12', C: '12', D: 'x' }],
  ['an escaped dollar', 'A="\\$B"\nC=$$D\n', { A: '$B', C: '$D' }],
  ['Windows line ends', 'A=1\r\nB="2"\r\n', { A: '1', B: '2' }],
  ['equals signs in values', 'A=b=c=d\n', { A: 'b=c=d' }],
]
for (const [what, text, result] of cases) test(`dotenv: ${what}`, () => assert.deepEqual(parse(text), result))

test("dotenv: KEY alone takes the caller's value", () => assert.deepEqual(parse('A\n', { A: 'x' }), { A: 'x' }))
test('dotenv: the caller wins inside values', () =>
  assert.deepEqual(parse('A=1\nB=$A\n', { A: 'x' }), { A: '1', B: 'x' }))
test('dotenv: errors say the line', () => {
  assert.throws(() => parse('A=1\nB="open\n'), /line 2: unterminated quoted value/)
  assert.throws(() => parse('A=1\n1B=2\n'), /line 2: unexpected character in variable name/)
})
test('raw env files are taken as they are', () => {
  assert.deepEqual(Object.fromEntries(parseRawEnv('A="x" # y\n#c\nB=$A\n', () => undefined)), { A: '"x" # y', B: '$A' })
})

const image = 'services:\n  web:\n    image: ${TAG:-none}\n'
const tag = async (
  files: Record<string, string>,
  options: Parameters<typeof loadFiles>[1] = {},
): Promise<string | undefined> =>
  (await loadFiles({ 'compose.yaml': image, ...files }, options)).project.services.web?.image

test('the caller beats .env, .env beats the default', async () => {
  assert.equal(await tag({}), 'none')
  assert.equal(await tag({ '.env': 'TAG=dot' }), 'dot')
  assert.equal(await tag({ '.env': 'TAG=dot' }, { environment: { TAG: 'os' } }), 'os')
})
test('--env-file suppresses .env, the last one wins', async () => {
  const files = { '.env': 'TAG=dot', 'one.env': 'TAG=one\nX=1', 'two.env': 'TAG=two' }
  assert.equal(await tag(files, { envFiles: ['one.env'] }), 'one')
  assert.equal(await tag(files, { envFiles: ['one.env', 'two.env'] }), 'two')
  assert.equal(await tag({ ...files, 'one.env': 'X=1' }, { envFiles: ['one.env'] }), 'none')
  assert.match((await failure(tag(files, { envFiles: ['gone.env'] }))).message, /couldn't find env file: .*gone\.env/)
})
test("the working directory's .env beats the project directory's", async () => {
  const files = {
    '.env': 'TAG=project\nOTHER=x',
    'sub/.env': 'TAG=sub',
    'compose.yaml': 'services:\n  web:\n    image: ${TAG}-${OTHER}\n',
  }
  assert.equal(await tag(files, { cwd: 'sub' }), 'sub-x')
})

test('environment beats env_file, later env files beat earlier ones', async () => {
  const files = { 'a.env': 'A=1\nB=1\nC=1', 'b.env': 'B=2\nC=2' }
  const service = await web('env_file: [a.env, b.env]\nenvironment:\n  C: "3"', { files })
  assert.deepEqual(service.environment, { A: '1', B: '2', C: '3' })
})
test('- FOO without a value masks env_file; with one it takes it', async () => {
  const files = { 'a.env': 'FOO=file' }
  const yaml = 'env_file: a.env\nenvironment:\n  - FOO'
  assert.equal((await web(yaml, { files })).environment, undefined)
  assert.deepEqual((await web(yaml, { files, environment: { FOO: 'os' } })).environment, { FOO: 'os' })
  assert.deepEqual((await web('environment:\n  FOO:\n  BAR: ""')).environment, { BAR: '' })
})
test('env files that are not there', async () => {
  const error = await failure(web('env_file: gone.env'))
  assert.match(error.message, /env file .*gone\.env not found/)
  assert.equal(error.at?.line, 4)
  assert.equal((await web('env_file:\n  - path: gone.env\n    required: false')).environment, undefined)
})
test('format: raw', async () => {
  const service = await web('env_file:\n  - path: a.env\n    format: raw', { files: { 'a.env': 'A="$B"' } })
  assert.deepEqual(service.environment, { A: '"$B"' })
})
test('numbers and booleans become text', async () => {
  const service = await web('environment:\n  N: 1.10\n  O: 0o17\n  T: true\n  Y: yes\n  BIG: 12345678901234567890')
  assert.deepEqual(service.environment, { N: '1.1', O: '15', T: 'true', Y: 'yes', BIG: '12345678901234567890' })
})
test('label_file under labels', async () => {
  const service = await web('label_file: l\nlabels:\n  a: own', { files: { l: 'a=file\nb=file' } })
  assert.deepEqual(service.labels, { a: 'own', b: 'file' })
})

const named = async (options: Parameters<typeof loadFiles>[1], yaml = 'services: {}\n'): Promise<string> =>
  (await loadFiles({ 'compose.yaml': yaml }, options)).project.name
test('the name: -p, environment, file, directory', async () => {
  const inFile = 'name: from-${X:-file}\nservices: {}\n'
  assert.equal(await named({}), 'shop')
  assert.equal(await named({}, inFile), 'from-file')
  assert.equal(await named({ environment: { COMPOSE_PROJECT_NAME: 'env' } }, inFile), 'env')
  assert.equal(await named({ projectName: 'given', environment: { COMPOSE_PROJECT_NAME: 'env' } }, inFile), 'given')
  const error = await failure(named({ projectName: 'My Shop' }))
  assert.match(error.message, /invalid project name "My Shop"/)
  assert.equal(error.hint, '"myshop" would do.')
})
test('the last name of several files wins and can be interpolated', async () => {
  const { project } = await loadFiles(
    { 'a.yaml': 'name: a\nservices: {web: {image: "${COMPOSE_PROJECT_NAME}"}}', 'b.yaml': 'name: b\n' },
    { files: ['a.yaml', 'b.yaml'] },
  )
  assert.equal(project.name, 'b')
  assert.equal(project.services.web?.image, 'b')
})
test('discovery: order, parents, override, COMPOSE_FILE', async () => {
  const of = (name: string): string => `services:\n  web:\n    image: ${name}\n`
  const image = async (
    files: Record<string, string>,
    options: Parameters<typeof loadFiles>[1] = {},
  ): Promise<[string | undefined, number]> => {
    const { project, warnings } = await loadFiles(files, options)
    return [project.services.web?.image, warnings.length]
  }
  assert.deepEqual(await image({ 'docker-compose.yml': of('b'), 'compose.yaml': of('a') }), ['a', 1])
  assert.deepEqual(await image({ 'docker-compose.yaml': of('b'), 'docker-compose.yml': of('a') }), ['a', 1])
  assert.deepEqual(await image({ 'compose.yml': of('a'), 'deep/er/x': '' }, { cwd: 'deep/er' }), ['a', 0])
  assert.deepEqual(await image({ 'compose.yml': of('a'), 'compose.override.yaml': of('over') }), ['over', 0])
  assert.deepEqual(
    await image({ 'compose.yml': of('a'), 'compose.override.yaml': of('over') }, { files: ['compose.yml'] }),
    ['a', 0],
  )
  assert.deepEqual(
    await image({ 'a.yml': of('a'), 'b.yml': of('b') }, { environment: { COMPOSE_FILE: 'a.yml:b.yml' } }),
    ['b', 0],
  )
  assert.equal((await failure(loadFiles({}))).message, 'no configuration file provided: not found')
})
