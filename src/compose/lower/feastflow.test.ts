/** The example, lowered for both destinations, compared as text. UPDATE=1 writes the expected text anew. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { stringify } from 'yaml'
import { renderManifests } from '../convert/manifests.ts'
import { loadProject } from '../load/load.ts'
import type { LowerResult } from '../types.ts'
import { lower } from './lower.ts'

const root = join(import.meta.dirname, '../../..')
const images = {
  postgres: {
    reference: 'feastflow-postgres:v1',
    config: { User: '999:999', ExposedPorts: { '5432/tcp': {} }, Volumes: { '/var/lib/postgresql/data': {} } },
  },
  backend: { reference: 'feastflow-backend:v1', config: { User: '1000:1000', ExposedPorts: { '5000/tcp': {} } } },
  frontend: { reference: 'feastflow-frontend:v1', config: { User: '1000:1000', ExposedPorts: { '3000/tcp': {} } } },
}
const lowered = async (
  destination: 'local' | 'cluster',
  environment: Record<string, string> = {},
): Promise<LowerResult> => {
  const { project } = await loadProject({
    files: [],
    workingDir: join(root, 'examples/feastflow'),
    profiles: [],
    envFiles: [],
    environment,
  })
  return lower(
    { ...project, workingDir: '/feastflow', composeFiles: ['/feastflow/compose.yaml'] },
    { destination, images },
  )
}

for (const destination of ['local', 'cluster'] as const)
  test(`feastflow for ${destination}`, async () => {
    const { objects } = await lowered(destination)
    const text = objects.map((o) => stringify(o, { lineWidth: 0 })).join('---\n')
    const file = join(root, `test/fixtures/compose-feastflow/${destination}.yaml`)
    if (process.env.UPDATE) writeFileSync(file, text)
    assert.equal(text, readFileSync(file, 'utf8'))
  })

test('feastflow starts in three waves', async () => {
  const { waves, objects, shared, losses } = await lowered('local')
  assert.deepEqual(
    waves.map((wave) =>
      wave.map(
        (w) =>
          `${w.service} as ${w.workload.kind} after ${w.waitsFor.map((d) => `${d.service} ${d.condition}`).join()}`,
      ),
    ),
    [
      ['postgres as StatefulSet after '],
      ['backend as Deployment after postgres service_healthy'],
      ['frontend as Deployment after backend service_healthy'],
    ],
  )
  assert.deepEqual(losses, [])
  assert.equal(
    new Set([...shared, ...waves.flat().flatMap((w) => w.objects)]).size,
    objects.length,
    'every object is shared or in a wave',
  )
})

test('feastflow as numbered manifests', async () => {
  const { objects } = await lowered('cluster')
  const files = await renderManifests(objects)
  assert.deepEqual(
    files.map((f) => f.name),
    [
      '00-namespace.yaml',
      '01-configmap.yaml',
      '02-secrets.yaml',
      '03-postgres-pvc.yaml',
      '04-postgres-statefulset.yaml',
      '05-postgres-service.yaml',
      '06-backend-deployment.yaml',
      '07-backend-service.yaml',
      '08-frontend-deployment.yaml',
      '09-frontend-service.yaml',
      '10-ingress.yaml',
    ],
  )
  assert.deepEqual(await renderManifests(objects), files, 'the same every time')
  assert.equal(files.flatMap((f) => f.content.match(/^kind: /gm) ?? []).length, objects.length, 'nothing is left out')
  assert.equal((await renderManifests(objects, { kustomize: true })).at(-1)?.name, 'kustomization.yaml')
})

test('a new password rolls out the services that use it, and no others', async () => {
  const [before, after] = [await lowered('local'), await lowered('local', { DB_PASSWORD: 'new' })]
  const templates = (result: LowerResult): Record<string, string> =>
    Object.fromEntries(
      result.objects.flatMap((o) =>
        o.kind === 'Deployment' || o.kind === 'StatefulSet'
          ? [[o.metadata.name!, JSON.stringify((o.spec as { template: unknown }).template)]]
          : [],
      ),
    )
  const changed = Object.keys(templates(before)).filter((name) => templates(before)[name] !== templates(after)[name])
  assert.deepEqual(changed.sort(), ['backend', 'postgres'])
  const secrets = (result: LowerResult): string[] =>
    result.objects.filter((o) => o.kind === 'Secret').map((o) => o.metadata.name!)
  assert.equal(new Set([...secrets(before), ...secrets(after)]).size, 4, 'the old Secrets keep their names')
})
