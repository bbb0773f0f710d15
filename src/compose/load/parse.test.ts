// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are Compose templates, not ours
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { excerptOf, failure, load, loadFiles, projectOf, web } from './fixture.ts'

const place = (error: {
  at?: { line?: number | undefined; column?: number | undefined } | undefined
}): (number | undefined)[] => [error.at?.line, error.at?.column]

test('broken YAML says line and column and shows it', async () => {
  const error = await failure(load('services:\n  web:\n   image: a\n  bad: [1, 2\n'))
  assert.match(error.message, /failed to parse .*compose\.yaml: yaml: line \d+/)
  assert.match(excerptOf(error), /^>/m)
  assert.match(excerptOf(error), /\^/)
})
test('an unknown key is named, with the nearest one', async () => {
  const error = await failure(load('services:\n  web:\n    imagee: a\n'))
  assert.equal(error.message, "services.web: additional properties 'imagee' not allowed; did you mean 'image'?")
  assert.deepEqual(place(error), [3, 5])
  assert.equal(excerptOf(error), '     2 |   web:\n>    3 |     imagee: a\n       |     ^\n     4 | ')
})
test('unknown keys deeper down, and at the top', async () => {
  assert.match(
    (await failure(web('deploy:\n  replica: 2'))).message,
    /services\.web\.deploy: additional properties 'replica' not allowed; did you mean 'replicas'\?/,
  )
  assert.match(
    (await failure(load('service:\n  web: {}\n'))).message,
    /^additional properties 'service' not allowed; did you mean 'services'\?/,
  )
  assert.match(
    (await failure(web('x-slipway:\n  hots: a'))).message,
    /x-slipway: additional properties 'hots' not allowed; did you mean 'host'\?/,
  )
  assert.match(
    (await failure(load('services:\n  we/b:\n    image: a\n'))).message,
    /services: additional properties 'we\/b' not allowed/,
  )
})
test('wrong types', async () => {
  assert.equal((await failure(web('ports: 80'))).message, 'services.web.ports must be a list')
  assert.equal((await failure(web('environment: x'))).message, 'services.web.environment must be a list or a mapping')
  const user = await failure(web('user: 1000'))
  assert.equal(user.message, 'services.web.user must be a string')
  assert.equal(user.hint, 'Put it in quotes: "1000".')
  assert.match((await failure(web('stop_grace_period: 10'))).hint!, /"10s"/)
  assert.match((await failure(web('stop_grace_period: ten'))).message, /must be a duration, not "ten"/)
  assert.match((await failure(web('restart: allways'))).message, /does not match/)
  assert.match(
    (await failure(web('depends_on:\n  db:\n    condition: service_ready'))).message,
    /condition must be one of/,
  )
  assert.match((await failure(load('- a\n'))).message, /top-level object must be a mapping/)
})
test('files that are not there', async () => {
  const error = await failure(loadFiles({}, { files: ['gone.yaml'] }))
  assert.match(error.message, /open .*gone\.yaml: no such file or directory/)
  assert.equal(error.code, 'not-found')
})
test('duplicate keys are errors', async () => {
  const error = await failure(load('services:\n  web:\n    image: a\n    image: b\n'))
  assert.equal(error.message, 'yaml: line 4: mapping key "image" already defined at line 3')
  assert.deepEqual(place(error), [4, 5])
})
test('anchors, aliases, merge keys; own keys win, earlier maps win', async () => {
  const project = await projectOf(`
x-a: &a {image: a, labels: {from: a}, init: true}
x-b: &b {image: b, tty: true}
services:
  one: *a
  two: {<<: *a, image: own}
  three:
    <<: [*b, *a]
`)
  assert.equal(project.services.one?.image, 'a')
  assert.deepEqual([project.services.two?.image, project.services.two?.init], ['own', true])
  assert.deepEqual(
    [project.services.three?.image, project.services.three?.init, project.services.three?.tty],
    ['b', true, true],
  )
  assert.deepEqual(project.extensions['x-b'], { image: 'b', tty: true })
})
test('an alias within itself and an alias bomb are refused', async () => {
  assert.match(
    (await failure(load('x-a: &a\n  b: *a\nservices: {}\n'))).message,
    /anchor 'a' value contains itself|unknown anchor/i,
  )
  const rows = Array.from({ length: 9 }, (_, i) => `x-${i + 1}: &l${i + 1} [${Array(10).fill(`*l${i}`).join(', ')}]`)
  assert.match(
    (await failure(load(`x-0: &l0 [a, b]\n${rows.join('\n')}\nservices: {}\n`))).message,
    /excessive aliasing/,
  )
})
test('documents of one file merge', async () => {
  const project = await projectOf(
    'services:\n  web:\n    image: a\n    init: true\n---\nservices:\n  web:\n    image: b\n',
  )
  assert.deepEqual([project.services.web?.image, project.services.web?.init], ['b', true])
})
test('version is obsolete', async () => {
  const { warnings } = await load('version: "3.9"\nservices: {}\n')
  assert.match(warnings[0]!.message, /`version` is obsolete/)
  assert.equal(warnings[0]!.at?.line, 1)
})
test('empty files, empty documents, nothing said', async () => {
  assert.match((await failure(load(''))).message, /empty compose file/)
  assert.deepEqual((await projectOf('services:\n')).services, {})
  assert.deepEqual(
    Object.keys(
      (await projectOf('services:\n  web:\n    image: a\n    ports:\n    environment:\nvolumes:\n  data:\n')).volumes,
    ),
    ['data'],
  )
})
test('positions survive', async () => {
  const project = await projectOf('services:\n  web:\n    image: a\n    ports:\n      - "80:80"\n')
  assert.deepEqual(project.positions.get('services.web.ports.0')?.line, 5)
  assert.deepEqual(project.positions.get('services.web.image')?.line, 3)
})
