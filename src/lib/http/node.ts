/**
 * What we use of node:http. `import … from 'node:http'` would evaluate all that module has, and by its WebSocket load
 * an HTTP client of 760 kB that nobody here uses: 8 MB, and a third of the time a command of ours takes to start.
 */
const http = process.getBuiltinModule('node:http')

export const { Agent, createServer, request } = http
export type Agent = InstanceType<typeof Agent>
export type { ClientRequest, IncomingMessage, Server, ServerResponse } from 'node:http'
