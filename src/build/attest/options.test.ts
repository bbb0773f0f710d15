import assert from 'node:assert/strict'
import { test } from 'node:test'
import { attestationsOf } from './options.ts'

test('attestations: lines of fields, arguments that say the same, what a scanner is told', () => {
  assert.deepEqual(attestationsOf({}, {}), {})
  assert.deepEqual(attestationsOf({ sbom: '', provenance: 'disabled=true' }, {}), {
    sbom: { generator: 'docker/buildkit-syft-scanner:stable-1', parameters: {} },
  })
  assert.deepEqual(
    attestationsOf(
      { sbom: '"generator=h/foo/bar","PARAM=abc,def",EXCLUDE=x' },
      { BUILDKIT_ATTEST_PROVENANCE: 'mode=min' },
    ),
    {
      sbom: { generator: 'h/foo/bar', parameters: { PARAM: 'abc,def', EXCLUDE: 'x' } },
      provenance: { mode: 'min', version: 'v0.2', builderId: '', reproducible: false },
    },
  )
  assert.throws(
    () => attestationsOf({ sbom: 'generator=' }, {}),
    /failed to parse sbom scanner : invalid reference format/,
  )
  assert.throws(() => attestationsOf({ sbom: 'a"b' }, {}), /failed to parse sbom: parse error: bare "/)
  assert.throws(() => attestationsOf({ other: '' }, {}), /unsupported attestation type "other"/)
})
