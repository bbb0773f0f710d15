import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judge, sourceRules, type SourceRule } from './source-policy.ts'

type Loose = Partial<SourceRule['selector']> & { attrs?: Record<string, string>; to?: string }
const rule = (action: SourceRule['action'], identifier: string, more: Loose = {}): SourceRule => ({
  action,
  selector: { identifier, match: more.match ?? 'WILDCARD', constraints: more.constraints ?? [] },
  updates: action === 'CONVERT' ? { identifier: more.to ?? '', attrs: more.attrs ?? {} } : undefined,
})
const image = (name: string): string => `docker-image://docker.io/library/${name}`
const of = (rules: SourceRule[], identifier: string, attrs: Record<string, string> = {}) =>
  judge(rules, { identifier, attrs })
const denied = (rules: SourceRule[], identifier: string, attrs: Record<string, string> = {}): boolean => {
  try {
    of(rules, identifier, attrs)
    return false
  } catch (error) {
    assert.equal((error as Error).message, `source "${identifier}" denied by policy: source denied by policy`)
    return true
  }
}

test('policies as clients send them', () => {
  assert.deepEqual(sourceRules({}), [])
  const whole = {
    action: 2,
    selector: { identifier: 'a', match_type: 'REGEX', constraints: [{ key: 'k', condition: 1 }] },
    updates: { attrs: { x: 'y' } },
  }
  assert.deepEqual(sourceRules({ rules: [{ selector: {} }, whole] }), [
    { action: 'ALLOW', selector: { identifier: '', match: 'WILDCARD', constraints: [] }, updates: undefined },
    {
      action: 'CONVERT',
      selector: { identifier: 'a', match: 'REGEX', constraints: [{ key: 'k', value: '', condition: 'NOTEQUAL' }] },
      updates: { identifier: '', attrs: { x: 'y' } },
    },
  ])
  assert.throws(() => sourceRules({ rules: [{}] }), /invalid nil selector/)
  assert.throws(() => sourceRules({ rules: [{ action: 'MAYBE', selector: {} }] }), /unknown action: MAYBE/)
  assert.throws(() => sourceRules({ rules: [{ selector: { match_type: 3 } }] }), /unknown match type: 3/)
  const odd = { rules: [{ selector: { identifier: 5 } }] } as unknown as Parameters<typeof sourceRules>[0]
  assert.throws(() => sourceRules(odd), /5 is not a string/)
})

test('the last rule that matches allows or denies', () => {
  const nothingBut = [rule('DENY', '*'), rule('ALLOW', image('debian:*'))]
  assert.equal(denied(nothingBut, image('debian:12')), false)
  assert.equal(denied(nothingBut, image('alpine:3')), true)
  assert.equal(denied(nothingBut, 'https://example.com/x'), true)
  assert.equal(denied([rule('ALLOW', image('a:1')), rule('DENY', 'docker-image://*')], image('a:1')), true)
  assert.equal(denied([], image('a:1')), false)
})

test('how rules match', () => {
  assert.equal(denied([rule('DENY', image('a.:*'))], image('ax:1')), false, 'dots are dots')
  assert.equal(denied([rule('DENY', image('a:*'), { match: 'EXACT' })], image('a:1')), false)
  assert.equal(denied([rule('DENY', image('a:*'), { match: 'EXACT' })], image('a:*')), true)
  assert.equal(denied([rule('DENY', 'library/a:[12]$', { match: 'REGEX' })], image('a:2')), true)
  assert.equal(denied([rule('DENY', '(?i)LIBRARY', { match: 'REGEX' })], image('a:2')), true)
  assert.throws(() => of([rule('DENY', 'a**')], image('a')), /invalid wildcard: "\*\*"/)
  assert.throws(() => of([rule('DENY', '(', { match: 'REGEX' })], image('a')), /invalid regex "\("/)
  const constrained = (condition: 'EQUAL' | 'NOTEQUAL' | 'MATCHES', value: string, attrs: Record<string, string>) =>
    denied([rule('DENY', '*', { constraints: [{ key: 'k', value, condition }] })], 'https://x/', attrs)
  assert.deepEqual(
    [constrained('EQUAL', 'v', { k: 'v' }), constrained('EQUAL', 'v', {}), constrained('EQUAL', '', {})],
    [true, false, true],
  )
  assert.deepEqual([constrained('NOTEQUAL', 'v', { k: 'v' }), constrained('NOTEQUAL', 'v', {})], [false, true])
  assert.deepEqual(
    [constrained('MATCHES', '^a+$', { k: 'aa' }), constrained('MATCHES', '^a+$', { k: 'b' })],
    [true, false],
  )
})

test('conversions', () => {
  const to = (rules: SourceRule[], name: string): string => of(rules, name).identifier
  assert.equal(to([rule('CONVERT', image('a:1'), { to: image('b:2') })], image('a:1')), image('b:2'))
  const mirrored = rule('CONVERT', 'docker-image://docker.io/*:*', { to: 'docker-image://mirror.example/${1}:$2' })
  assert.equal(to([mirrored], image('a:1')), 'docker-image://mirror.example/library/a:1')
  const named = rule('CONVERT', '^(?P<kind>http)://([^/]+)/', { match: 'REGEX', to: '${kind}s://$2.example$$/$3' })
  assert.equal(to([named], 'http://host/path'), 'https://host.example$/path')
  const chain = [
    rule('CONVERT', image('a:1'), { to: image('b:1') }),
    rule('CONVERT', image('b:1'), { to: image('c:1') }),
  ]
  assert.equal(to(chain, image('a:1')), image('c:1'))
  assert.throws(() => of([...chain, rule('DENY', image('c:*'))], image('a:1')), /"docker-image:\/\/.*\/c:1" denied/)
  assert.throws(
    () => of([...chain.slice(0, 1), rule('CONVERT', image('b:1'), { to: image('a:1') })], image('a:1')),
    /too many mutations/,
  )
  assert.deepEqual(of([rule('CONVERT', 'https://x/y', { attrs: { 'http.checksum': 'sha256:1' } })], 'https://x/y'), {
    identifier: 'https://x/y',
    attrs: { 'http.checksum': 'sha256:1' },
  })
  assert.throws(() => of([{ ...mirrored, updates: undefined }], image('a:1')), /missing destination for convert rule/)
})
