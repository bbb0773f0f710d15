import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readOnlyMount, writableMount } from './mounts.ts'

const own = { fs: '/s/3/fs', work: '/s/3/work' }

test('a layer on others is an overlay, top first', () => {
  const { type, options } = writableMount(own, ['/s/2/fs', '/s/1/fs'])
  assert.equal(type, 'overlay')
  assert.deepEqual(options.slice(0, 3), ['lowerdir=/s/2/fs:/s/1/fs', 'upperdir=/s/3/fs', 'workdir=/s/3/work'])
  // Defaults of the kernel must not leak into what an upper directory means.
  assert.ok(options.includes('redirect_dir=off') && options.includes('metacopy=off'))
})

test('a layer alone is a bind mount', () => {
  assert.deepEqual(writableMount(own, []), { type: 'bind', source: '/s/3/fs', target: '', options: ['rbind', 'rw'] })
  assert.deepEqual(readOnlyMount(['/s/1/fs']), {
    type: 'bind',
    source: '/s/1/fs',
    target: '',
    options: ['rbind', 'ro'],
  })
  assert.ok(!readOnlyMount(['/s/2/fs', '/s/1/fs']).options.some((option) => option.startsWith('upperdir')))
})

test('separators in paths are escaped', () => {
  assert.equal(writableMount(own, ['/a:b,c\\d/fs']).options[0], 'lowerdir=/a\\:b\\,c\\\\d/fs')
})
