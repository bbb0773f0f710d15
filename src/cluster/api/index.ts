import type { ApiServer } from '../types.ts'
import { Server, type ServerDeps } from './server.ts'

export type { ServerOptions } from './resource.ts'

/** The embedded API server over one database. Ready at once; what every cluster has is created on first use. */
export const createApiServer = (deps: ServerDeps): ApiServer => new Server(deps)
