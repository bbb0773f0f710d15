import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { spdxType, withLayers } from './layers.ts'

test('each file of an SPDX document names the highest layer that holds it', (t) => {
  const root = mkdtempSync(join(tmpdir(), 'slipway-layers-'))
  t.after(() => rmSync(root, { recursive: true }))
  const layer = (name: string, ...files: string[]): { path: string; digest: string } => {
    for (const file of files) {
      mkdirSync(join(root, name, file, '..'), { recursive: true })
      writeFileSync(join(root, name, file), '')
    }
    return { path: join(root, name), digest: `sha256:${name}` }
  }
  const layers = [layer('one', 'lib/a', 'lib/b'), layer('two', 'lib/b')]
  symlinkSync(join(root, 'one', 'lib'), join(root, 'two', 'usr'))
  const files = [
    { SPDXID: 'a', fileName: '/lib/a' },
    { fileName: './lib/b', comment: '' },
    { fileName: 'lib/b', comment: 'mine' },
    { fileName: 'usr/a' },
    { fileName: '../two/lib/b' },
    { fileName: 'none' },
    {},
  ]
  const file = 'sbom.spdx.json'
  const said = { file, predicateType: spdxType, predicate: { spdxVersion: 'SPDX-2.3', name: 'n', files } }
  assert.deepEqual(withLayers(said, layers).predicate, {
    ...said.predicate,
    files: [
      { SPDXID: 'a', fileName: '/lib/a', comment: 'layerID: sha256:one' },
      { fileName: './lib/b', comment: 'layerID: sha256:two' },
      ...files.slice(2),
    ],
  })
  for (const other of [
    { file, predicateType: spdxType, predicate: { files } },
    { file, predicateType: 'https://cyclonedx.org/bom', predicate: said.predicate },
    { file, predicateType: spdxType, predicate: null },
  ])
    assert.equal(withLayers(other, layers), other)
})
