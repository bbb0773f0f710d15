import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SlipwayError } from '../../errors.ts'
import { silentLog } from '../../lib/log.ts'
import type { ObjectClient, WatchEvent } from '../../spec/kube/client.ts'
import type { ConfigMap as ConfigMapObject } from '../../spec/kube/generated/types.ts'
import { ConfigMap } from '../../spec/kube/kinds.ts'
import { createInformers } from './index.ts'

const object = (name: string, resourceVersion: string, uid = name): ConfigMapObject => ({
  metadata: { namespace: 'default', name, uid, resourceVersion },
})

/** A client whose lists are `lists` in order and whose watches are fed by `feed`. */
const scripted = (lists: { items: ConfigMapObject[]; resourceVersion: string }[]) => {
  const feeds: ((event: WatchEvent<ConfigMapObject> | Error) => void)[] = []
  const starts: (string | undefined)[] = []
  const client = {
    list: async () => lists.shift(),
    async *watch(_: unknown, { resourceVersion, signal }: { resourceVersion?: string; signal: AbortSignal }) {
      starts.push(resourceVersion)
      const waiting: (WatchEvent<ConfigMapObject> | Error)[] = []
      let wake = (): void => {}
      feeds.push((event) => {
        waiting.push(event)
        wake()
      })
      signal.addEventListener('abort', () => wake())
      while (!signal.aborted) {
        const next = waiting.shift()
        if (next instanceof Error) throw next
        if (next) yield next
        else
          await new Promise<void>((resolve) => {
            wake = resolve
          })
      }
    },
  } as unknown as ObjectClient
  return { client, starts, feed: (event: WatchEvent<ConfigMapObject> | Error) => feeds.at(-1)!(event) }
}
const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 10))

test('an informer lists, watches and, when its version has expired, tells only what differs', async () => {
  const { client, starts, feed } = scripted([
    { items: [object('a', '1'), object('b', '2')], resourceVersion: '2' },
    { items: [object('a', '1'), object('c', '9')], resourceVersion: '9' },
  ])
  const informers = createInformers(client, silentLog)
  const informer = informers.of(ConfigMap)
  assert.equal(informer, informers.of(ConfigMap))
  await informer.synced
  const seen: string[] = []
  const off = informer.on(({ type, object }) => seen.push(`${type} ${object.metadata.name}`))
  assert.deepEqual(seen.splice(0), ['ADDED a', 'ADDED b'])
  await settle()
  feed({ type: 'MODIFIED', object: object('b', '3') })
  feed({ type: 'BOOKMARK', resourceVersion: '5' })
  await settle()
  assert.deepEqual(seen.splice(0), ['MODIFIED b'])
  feed(new SlipwayError('expired', 'too old resource version'))
  await settle()
  assert.deepEqual(seen.splice(0), ['DELETED b', 'ADDED c'])
  assert.deepEqual(
    informer.list('default').map((o) => o.metadata.name),
    ['a', 'c'],
  )
  assert.deepEqual(starts, ['2', '9'])
  off()
  feed({ type: 'DELETED', object: object('a', '10') })
  await settle()
  assert.deepEqual(seen, [])
  assert.equal(informer.get('default', 'a'), undefined)
  informers.close()
})

test('an object made anew under its old name is a deletion and an addition', async () => {
  const { client, feed } = scripted([{ items: [object('a', '1', 'old')], resourceVersion: '1' }])
  const informers = createInformers(client, silentLog)
  const informer = informers.of(ConfigMap)
  await informer.synced
  const seen: string[] = []
  informer.on(({ type, object }) => seen.push(`${type} ${object.metadata.uid}`))
  await settle()
  feed({ type: 'MODIFIED', object: object('a', '7', 'new') })
  await settle()
  assert.deepEqual(seen, ['ADDED old', 'DELETED old', 'ADDED new'])
  informers.close()
})
