import { objectClientSuite } from '../../spec/kube/client.suite.ts'
import { cluster } from './fixture.ts'

objectClientSuite('in process', async () => {
  const { client, api } = cluster()
  return { client, close: () => api.close() }
})
