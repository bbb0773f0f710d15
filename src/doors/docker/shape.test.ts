import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fit } from '../../lib/shape.ts'
import { createShape } from './shapes.ts'

test('values of another kind are refused, by name', () => {
  const refused: [unknown, string][] = [
    [{ Image: 5 }, 'number into Go struct field CreateRequest.Image of type string'],
    [{ Env: 'x' }, 'string into Go struct field CreateRequest.Env of type []string'],
    [{ HostConfig: { Memory: '12m' } }, 'string into Go struct field HostConfig.HostConfig.Memory of type int64'],
    [{ HostConfig: { Memory: 1.5 } }, 'number 1.5 into Go struct field HostConfig.HostConfig.Memory of type int64'],
    [{ HostConfig: { Binds: [5] } }, 'number into Go struct field HostConfig.HostConfig.Binds of type string'],
    [{ HostConfig: 'x' }, 'string into Go struct field CreateRequest.HostConfig of type HostConfig'],
    [{ Labels: [1] }, 'array into Go struct field CreateRequest.Labels of type map[string]string'],
    [{ Cmd: [1] }, 'number into Go struct field CreateRequest.Cmd of type string'],
    [{ ExposedPorts: ['80/tcp'] }, 'array into Go struct field CreateRequest.ExposedPorts of type map[string]any'],
    [
      { HostConfig: { PortBindings: { '80/tcp': [{ HostPort: 80 }] } } },
      'number into Go struct field PortBinding.HostConfig.PortBindings.80/tcp.HostPort of type string',
    ],
    ['x', 'string into Go value of type CreateRequest'],
  ]
  for (const [value, message] of refused)
    assert.throws(() => fit(createShape, value), {
      code: 'bad-request',
      message: `invalid JSON: json: cannot unmarshal ${message}`,
    })
})

test('names in any case, null for nothing, and what is not known as it is', () => {
  assert.deepEqual(
    fit(createShape, {
      image: 'b',
      CMD: 'one',
      Env: null,
      hostconfig: { memory: 5, PidsLimit: null, Ulimits: [null], Other: { a: 1 } },
      NetworkingConfig: { EndpointsConfig: { net: null } },
    }),
    {
      Image: 'b',
      Cmd: ['one'],
      HostConfig: { Memory: 5, Ulimits: [], Other: { a: 1 } },
      NetworkingConfig: { EndpointsConfig: { net: null } },
    },
  )
})
