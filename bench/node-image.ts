import { type Env, must } from './program.ts'

export const nodeImage = 'slipway-bench-node:1'
const server = "require('http').createServer((q, s) => s.end('ready')).listen(8080)"
/** A server on port 8080 that keeps connections open. */
export const nodeServer = [process.execPath, '-e', server]

/** This Node with the libraries it needs, as an image. */
export const importNode = async (env: Env, host: string): Promise<void> => {
  const script = `
    set -e
    libraries=$(ldd "$1" | grep -o '/[^ ]*')
    tar --create --dereference --absolute-names --transform 's,^/,,' "$1" $libraries | docker -H "$2" import - ${nodeImage}`
  await must(['sh', '-c', script, 'sh', process.execPath, host], env)
}

/** By wrk with 16 connections. `enter` goes in front of it. */
export const requestsPerSecond = async (
  bench: { env: Env },
  address: string,
  { enter = [], close = false }: { enter?: readonly string[]; close?: boolean } = {},
): Promise<number> => {
  const header = close ? ['-H', 'Connection: close'] : []
  const { stdout } = await must([...enter, 'wrk', '-t1', '-c16', '-d2s', ...header, `http://${address}/`], bench.env)
  const failed = /Non-2xx.*: (\d+)/.exec(stdout)
  const rate = /Requests\/sec:\s+([\d.]+)/.exec(stdout)
  if (!rate || failed) throw new Error(`wrk against ${address}:\n${stdout}`)
  return Number(rate[1])
}
