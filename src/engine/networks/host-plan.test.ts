import assert from 'node:assert/strict'
import { test } from 'node:test'
import { planForward, planInput, planUserChain } from './host-plan.ts'

const accept = (side: string): string => `-A FORWARD -${side} sw1+ -m comment --comment slipway-1 -j ACCEPT`
const plan = (...lines: string[]): string[] =>
  planForward(`${lines.join('\n')}\n`, 'slipway-1', ['sw1+']).map((words) => words.join(' '))

test('links are accepted at the end of a chain whose policy drops, and only there', () => {
  assert.deepEqual(plan('-P FORWARD ACCEPT', '-A FORWARD -j X'), [])
  assert.deepEqual(plan('-P FORWARD DROP', '-A FORWARD -j X'), [accept('i'), accept('o')])
  assert.deepEqual(plan('-P FORWARD DROP', '-A FORWARD -j X', accept('i'), accept('o')), [])
  // Whatever is added behind them is to be heard first.
  const again = [accept('i').replace('-A', '-D'), accept('o').replace('-A', '-D'), accept('i'), accept('o')]
  assert.deepEqual(plan('-P FORWARD DROP', accept('i'), accept('o'), '-A FORWARD -s 192.0.2.1/32 -j DROP'), again)
  assert.deepEqual(plan('-P FORWARD ACCEPT', accept('i'), accept('o')), again.slice(0, 2))
})

test("a user's own chain of dockerd's name is gone through, once", () => {
  const jump = [['-I', 'FORWARD', '-m', 'comment', '--comment', 'slipway-1', '-j', 'DOCKER-USER']]
  assert.deepEqual(planUserChain('-N DOCKER-USER\n', 'slipway-1'), [])
  assert.deepEqual(planUserChain('-N DOCKER-USER\n-A DOCKER-USER -j RETURN\n', 'slipway-1'), [])
  assert.deepEqual(planUserChain('-N DOCKER-USER\n-A DOCKER-USER -s 192.0.2.1/32 -j DROP\n', 'slipway-1'), jump)
  assert.deepEqual(planUserChain('-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -j DROP\n', 'slipway-1'), [])
})

test('pods reach the name server where nothing else is let in', () => {
  const admitted = [{ address: '10.9.0.10', protocol: 'udp', port: 53 }] as const
  const rule = 'INPUT -d 10.9.0.10/32 -i sw1p+ -p udp -m udp --dport 53 -m comment --comment slipway-1 -j ACCEPT'
  const steps = (...lines: string[]) =>
    planInput(lines.join('\n'), 'slipway-1', 'sw1p+', admitted).map((words) => words.join(' '))
  assert.deepEqual(steps('-P INPUT ACCEPT'), [])
  assert.deepEqual(steps('-P INPUT DROP'), [`-A ${rule}`])
  assert.deepEqual(steps('-P INPUT DROP', `-A ${rule}`), [])
})
