export { createHttpClient } from './client.ts'
export type { Credentials, HttpConfig, RunProgram } from './config.ts'
export { loadKubeconfig } from './kubeconfig.ts'
