import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeAs } from './decode.ts'
import { schemaOf } from './schema.ts'

const deployment = schemaOf('apps', 'v1', 'Deployment')!
const decode = (object: unknown) => decodeAs(deployment, 'Deployment', object)

test('unknown fields are listed and dropped, nulls left out, quantities written canonically', () => {
  const containers = [{ name: 'a', imag: 'x', resources: { limits: { cpu: 0.5, memory: '1024Mi' } } }]
  const { object, unknown } = decode({
    metadata: { name: 'a', labels: null },
    spec: { replica: 1, template: { spec: { containers } } },
  })
  assert.deepEqual(unknown, ['spec.replica', 'spec.template.spec.containers[0].imag'])
  assert.deepEqual(object, {
    metadata: { name: 'a' },
    spec: {
      template: { spec: { containers: [{ name: 'a', resources: { limits: { cpu: '500m', memory: '1Gi' } } }] } },
    },
  })
})
test('a wrong type is told as Go tells it', () => {
  const message = (object: unknown): string => {
    try {
      decode(object)
    } catch (error) {
      return (error as Error).message
    }
    return ''
  }
  assert.equal(
    message({ spec: { replicas: 'x' } }),
    'json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32',
  )
  assert.equal(
    message({ spec: { template: { spec: { containers: [{ name: 1 }] } } } }),
    'json: cannot unmarshal number into Go struct field Container.spec.template.spec.containers.name of type string',
  )
  assert.match(
    message({ spec: { template: { spec: { containers: [{ resources: { limits: { cpu: 'much' } } }] } } } }),
    /^quantities must match/,
  )
})
