import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isError } from '../../errors.ts'
import { choosePlatform, parsePlatform, platformRank } from '../oci/index.ts'
import { familiarName, familiarRepository, formatReference, parseReference, withTag } from './index.ts'

const digest = `sha256:${'a'.repeat(64)}`
const cases: [string, string, string][] = [
  ['debian', 'docker.io/library/debian:latest', 'debian:latest'],
  ['debian:bookworm-slim', 'docker.io/library/debian:bookworm-slim', 'debian:bookworm-slim'],
  ['user/app', 'docker.io/user/app:latest', 'user/app:latest'],
  ['docker.io/debian', 'docker.io/library/debian:latest', 'debian:latest'],
  ['index.docker.io/library/debian:1', 'docker.io/library/debian:1', 'debian:1'],
  ['localhost/app', 'localhost/app:latest', 'localhost/app:latest'],
  ['localhost:5000/a/b:c', 'localhost:5000/a/b:c', 'localhost:5000/a/b:c'],
  ['[::1]:5000/a', '[::1]:5000/a:latest', '[::1]:5000/a:latest'],
  ['registry.example.com/x/y__z:V1.0_a', 'registry.example.com/x/y__z:V1.0_a', 'registry.example.com/x/y__z:V1.0_a'],
  [`debian@${digest}`, `docker.io/library/debian@${digest}`, `debian@${digest}`],
  [`debian:12@${digest}`, `docker.io/library/debian:12@${digest}`, `debian:12@${digest}`],
  ['library/a/b', 'docker.io/library/a/b:latest', 'library/a/b:latest'],
]
for (const [text, full, familiar] of cases)
  test(`reference ${text}`, () => {
    const reference = withTag(parseReference(text))
    assert.equal(formatReference(reference), full)
    assert.equal(familiarName(reference), familiar)
    assert.deepEqual(parseReference(familiarName(reference)), reference)
  })

test('references that are refused', () => {
  for (const text of [
    '',
    ':a',
    'a:',
    'a b',
    'a@sha256:1',
    '-a',
    'a//b',
    'a:b:c',
    'a:-x',
    `a:${'x'.repeat(129)}`,
    'a/../b',
    'x'.repeat(260),
  ])
    assert.throws(
      () => parseReference(text),
      (error) => isError(error, 'invalid'),
      text,
    )
  assert.throws(() => parseReference('Debian'), {
    message: 'invalid reference format: repository name (library/Debian) must be lowercase',
  })
  assert.throws(() => parseReference('f'.repeat(64)), /cannot specify 64-byte hexadecimal strings/)
})

test('repository alone', () => {
  assert.equal(familiarRepository('docker.io/library/debian:12'), 'debian')
  assert.equal(familiarRepository('localhost:5000/x:12'), 'localhost:5000/x')
})

test('platforms', () => {
  assert.deepEqual(parsePlatform('linux/x86_64'), { os: 'linux', architecture: 'amd64' })
  assert.deepEqual(parsePlatform('arm64'), { os: 'linux', architecture: 'arm64' })
  assert.deepEqual(parsePlatform('linux/arm'), { os: 'linux', architecture: 'arm', variant: 'v7' })
  assert.throws(
    () => parsePlatform('a/b/c/d'),
    (error) => isError(error, 'invalid'),
  )
  const rank = (have: string, want: string): number => platformRank(parsePlatform(have), parsePlatform(want))
  assert.ok(rank('linux/arm/v7', 'linux/arm64') > rank('linux/arm/v6', 'linux/arm64'))
  assert.equal(rank('linux/arm/v7', 'linux/arm/v6'), 0)
  assert.equal(rank('linux/amd64/v3', 'linux/amd64'), 0)
  const of = (platform: string, extra = {}) => ({
    mediaType: 'm',
    digest: platform,
    size: 1,
    platform: parsePlatform(platform),
    ...extra,
  })
  const attestation = of('unknown/unknown', { annotations: { 'vnd.docker.reference.type': 'attestation-manifest' } })
  const pick = (want: string) =>
    choosePlatform(
      [attestation, of('linux/386'), of('linux/amd64'), of('linux/arm/v6'), of('linux/arm/v7')],
      parsePlatform(want),
    )?.digest
  assert.equal(pick('linux/amd64'), 'linux/amd64')
  assert.equal(pick('linux/arm64'), 'linux/arm/v7')
  assert.equal(pick('linux/s390x'), undefined)
  assert.equal(choosePlatform([attestation], parsePlatform('amd64')), undefined)
})
