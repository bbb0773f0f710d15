// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are Compose templates, not ours
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { failure, load, projectOf, web } from './fixture.ts'
import { substitute, TemplateError, variablesIn } from './interpolate.ts'

const env: Record<string, string> = { A: 'a', EMPTY: '', DEEP: 'deep' }
const lookup = (name: string): string | undefined => env[name]

const cases: [template: string, result: string][] = [
  ['$A ${A}', 'a a'],
  ['$$A $${A}', '$A ${A}'],
  ['$1 $( $) $', '$1 $( $) $'],
  ['cost: 5$', 'cost: 5$'],
  ['${A}b$A-c', 'aba-c'],
  ['${NONE-x}|${EMPTY-x}|${A-x}', 'x||a'],
  ['${NONE:-x}|${EMPTY:-x}|${A:-x}', 'x|x|a'],
  ['${NONE+x}|${EMPTY+x}|${A+x}', '|x|x'],
  ['${NONE:+x}|${EMPTY:+x}|${A:+x}', '||x'],
  ['${A?no}|${EMPTY?no}|${A:?no}', 'a||a'],
  ['${NONE:-${ALSO:-${DEEP}}}', 'deep'],
  ['${NONE:-a-b:-c?d}', 'a-b:-c?d'],
  ['${NONE-a:-b}', 'a:-b'],
  ['${NONE:-$$x}', '$x'],
  ['${NONE:-{"a": 1}}', '{"a": 1}'],
  ['${NONE}', ''],
]
for (const [template, result] of cases)
  test(`substitute ${template}`, () => assert.equal(substitute(template, lookup), result))

for (const template of ['${1}', '${', '${A', '${A', '${}', '${A!x}', '${ A}', 'x ${A:-${B}'])
  test(`${template} is an error`, () =>
    assert.throws(
      () => substitute(template, lookup),
      (e) => e instanceof TemplateError && e.kind === 'invalid',
    ))

test('a default that is not needed is not looked at', () => {
  const asked: string[] = []
  substitute('${A:-${B:?must}}', (name) => {
    asked.push(name)
    return lookup(name)
  })
  assert.deepEqual(asked, ['A'])
})

test('the text of a required variable is substituted too', () => {
  assert.throws(() => substitute('${NONE:?set it like ${A}}', lookup), {
    message: 'required variable NONE is missing a value: set it like a',
  })
  assert.throws(() => substitute('${EMPTY:?no}', lookup), /EMPTY is missing a value: no/)
})

test('variables a template mentions', () => {
  assert.deepEqual(variablesIn('$A ${B:-${C}} ${D:?x} $$E ${F+g}'), [
    { name: 'A', required: false },
    { name: 'B', required: false, default: '${C}' },
    { name: 'C', required: false },
    { name: 'D', required: true },
    { name: 'F', required: false, alternate: 'g' },
  ])
})

test('values only, never keys', async () => {
  const service = await web('labels:\n  ${A}: ${A}', { environment: { A: 'x' } })
  assert.deepEqual(service.labels, { '${A}': 'x' })
})

test('types are cast after substitution', async () => {
  const service = await web(
    'read_only: ${RO}\ncpus: ${CPUS}\nscale: ${N}\nstop_grace_period: ${T}\nmem_limit: ${M}\nports:\n  - ${P}:80',
    {
      environment: { RO: 'yes', CPUS: '0.5', N: '3', T: '1m30s', M: '64m', P: '8080' },
    },
  )
  assert.equal(service.read_only, true)
  assert.equal(service.cpus, 0.5)
  assert.equal(service.scale, 3)
  assert.equal(service.stop_grace_period, 90_000)
  assert.equal(service.mem_limit, 64 * 2 ** 20)
  assert.deepEqual(service.ports, [{ mode: 'ingress', target: 80, published: '8080', protocol: 'tcp' }])
  const error = await failure(web('read_only: ${RO}', { environment: { RO: 'maybe' } }))
  assert.match(error.message, /services.web.read_only must be a boolean, not "maybe"/)
})

test('a variable without a value is a warning, once', async () => {
  const { warnings } = await load('services:\n  web:\n    image: a:${TAG}\n    command: ${TAG}\n')
  assert.deepEqual(
    warnings.map((w) => w.message),
    ['The "TAG" variable is not set. Defaulting to a blank string.'],
  )
  assert.equal(warnings[0]?.at?.line, 3)
})

test('errors say where', async () => {
  const invalid = await failure(load('services:\n  web:\n    image: "x${1}"\n'))
  assert.match(invalid.message, /invalid interpolation format for services.web.image/)
  assert.deepEqual([invalid.at?.line, invalid.at?.column], [3, 12])
  const required = await failure(load('services:\n  web:\n    image: ${IMAGE:?which one}\n'))
  assert.equal(
    required.message,
    'error while interpolating services.web.image: required variable IMAGE is missing a value: which one',
  )
})

test('without interpolation everything stays', async () => {
  const project = await projectOf('services:\n  web:\n    image: a:${TAG}\n    scale: ${N}\n    ports: ["${P}:80"]\n', {
    interpolate: false,
  })
  assert.equal(project.services.web?.image, 'a:${TAG}')
  assert.equal(project.services.web?.scale as unknown, '${N}')
  assert.deepEqual(project.services.web?.ports as unknown, ['${P}:80'])
})
