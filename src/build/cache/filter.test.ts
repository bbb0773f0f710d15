import assert from 'node:assert/strict'
import { test } from 'node:test'
import { matcher } from './filter.ts'

const item = {
  ...{ id: 'abcdef', type: 'regular', description: 'RUN x, y', inUse: true, shared: false },
  ...{ parents: ['p1'], mutable: false },
}
const holds = (...filters: string[]): boolean => matcher(filters)(item)

test('texts are compared, flags are there or not, one of several filters suffices', () => {
  assert.ok(holds())
  assert.ok(holds('id==abcdef') && !holds('id==abc') && holds('id~=^abc') && holds('id!=x'))
  assert.ok(holds('type==regular,inuse') && !holds('type==regular,shared') && holds('private,immutable'))
  assert.ok(holds('type==source.local', 'type==regular'))
  assert.ok(holds('description=="RUN x, y"') && holds('parents==p1') && holds('inuse==true') && holds('shared!=true'))
  assert.ok(!holds('inuse==false') && !holds('mutable'))
  for (const wrong of ['size==1', 'id=x', 'id~=(', 'nonsense'])
    assert.throws(() => matcher([wrong]), { code: 'bad-request' })
})
