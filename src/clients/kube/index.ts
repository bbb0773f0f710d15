export { createHttpClient } from './client.ts'
export { loadKubeconfig } from './kubeconfig.ts'
