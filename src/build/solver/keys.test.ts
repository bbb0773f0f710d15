import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defKey } from './keys.ts'
import { opsOf, plan } from './plan.fixture.ts'

const key = async (
  line: string,
  change: (env: ReturnType<typeof opsOf>[0]['env']) => object = () => ({}),
): Promise<string> => {
  const node = opsOf((await plan(`FROM a AS s\nFROM a\nARG A=1\n${line}`)).rootfs).at(-1)!
  return defKey({ ...node, env: { ...node.env, ...change(node.env) } })
}

test('what a step does is its key', async () => {
  const same: [string, string][] = [
    ['RUN x', 'run x'],
    ['RUN --mount=type=cache,id=one,target=/c x', 'RUN --mount=type=cache,id=two,sharing=locked,target=/c x'],
    ['COPY a b /c/', 'COPY x y /c/'],
    ['COPY a /c/', 'ADD --unpack=false a /c/'],
  ]
  for (const [one, other] of same) assert.equal(await key(one), await key(other), `${one} = ${other}`)
  const different: [string, string][] = [
    ['RUN x', 'RUN y'],
    ['RUN x', 'ENV Q=1\nRUN x'],
    ['RUN x', 'USER 1\nRUN x'],
    ['RUN x', 'WORKDIR /x\nRUN x'],
    ['RUN x', 'ARG A=2\nRUN x'],
    ['RUN x', 'RUN --network=none x'],
    ['RUN x', 'RUN --mount=type=tmpfs,target=/t x'],
    ['RUN --mount=type=secret,id=a x', 'RUN --mount=type=secret,id=b x'],
    ['COPY a /c/', 'COPY a /c'],
    ['COPY a /c/', 'ADD a /c/'],
    ['COPY a /c/', 'COPY --chown=1 a /c/'],
    ['COPY a /c/', 'COPY --chmod=700 a /c/'],
    ['WORKDIR /a', 'USER 1\nWORKDIR /a'],
  ]
  for (const [one, other] of different) assert.notEqual(await key(one), await key(other), `${one} ≠ ${other}`)
})

test('proxies, limits and privileges of the build are not part of it; network and hosts are', async () => {
  const plain = await key('RUN x')
  assert.equal(
    await key('RUN x', () => ({
      proxies: ['HTTP_PROXY=x'],
      shmSize: 5,
      ulimits: [{ name: 'nofile', soft: 1, hard: 1 }],
    })),
    plain,
  )
  assert.notEqual(await key('RUN x', () => ({ network: 'none' })), plain)
  assert.notEqual(await key('RUN x', () => ({ hosts: [{ name: 'a', address: '1.2.3.4' }] })), plain)
})
