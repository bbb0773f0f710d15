export { createApiServer, type ServerDeps, type ServerOptions } from './api/index.ts'
export type * from './types.ts'
