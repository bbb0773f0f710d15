import type { Server } from 'node:http'

/**
 * Stops without losing a request. After SIGTERM the server goes on for `drainMs`: connections that are open or still
 * arrive are served, each answer saying "Connection: close", so that keep-alive clients move on by themselves. Then it
 * stops listening, lets what runs finish, and exits.
 */
export const drainOnSignal = (server: Server, options: { drainMs: number; finally: () => Promise<void> }): void => {
  let stopping = false
  let active = 0
  server.prependListener('request', (_request, response) => {
    active++
    if (stopping) response.setHeader('Connection', 'close')
    response.once('close', () => active--)
  })
  const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
  const stop = async (signal: string): Promise<void> => {
    if (stopping) return
    stopping = true
    console.log(`${signal}: serving on for ${options.drainMs} ms`)
    await pause(options.drainMs)
    server.close()
    for (let waited = 0; active > 0 && waited < 8000; waited += 50) await pause(50)
    server.closeIdleConnections()
    await options.finally()
    process.exit(0)
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop(signal))
}
