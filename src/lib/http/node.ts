import type { ClientRequest, IncomingMessage, RequestOptions } from 'node:http'

/**
 * What we use of node:http. `import … from 'node:http'` would evaluate all that module has, and by its WebSocket load
 * an HTTP client of 760 kB that nobody here uses: 8 MB, and a third of the time a command of ours takes to start.
 */
const http = process.getBuiltinModule('node:http')

export const { Agent, createServer, request, STATUS_CODES: statusTexts } = http

/** http.request by a unix socket. Its name is said to be none: it would be looked at by a pattern that takes longer than the request. */
export const requestOnSocket = (
  options: RequestOptions & { socketPath: string },
  answered?: (answer: IncomingMessage) => void,
): ClientRequest => request({ ...options, servername: '' } as RequestOptions, answered)

/** node:https, which takes as long to load as all the rest of a small command: for those who need it. */
export const secure = () => process.getBuiltinModule('node:https')

export type Agent = InstanceType<typeof Agent>
export type { ClientRequest, IncomingMessage, Server, ServerResponse } from 'node:http'
