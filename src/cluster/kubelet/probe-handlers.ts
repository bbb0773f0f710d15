/** What a probe does: run a program in the container, or ask it over HTTP, TCP or gRPC. */

import { request as httpsRequest } from 'node:https'
import { connect } from 'node:net'
import { isError, messageOf } from '../../errors.ts'
import { type ClientRequest, request as httpRequest } from '../../lib/http/node.ts'
import type { Container, Probe } from '../../spec/kube/generated/types.ts'
import { expand } from './env.ts'
import { grpcHealth } from './grpc-health.ts'
import type { ProbeTarget } from './probes.ts'

export interface ProbeOutcome {
  ok: boolean
  /** What it said, for events and `describe`. */
  output: string
}

/** One run of a probe; never rejects. */
export const attempt = async (
  target: ProbeTarget,
  probe: Probe,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<ProbeOutcome> => {
  try {
    if (probe.exec) {
      const { exitCode, output } = await target.exec(
        probeCommand(probe.exec.command, target.container),
        timeoutMs,
        signal,
      )
      return { ok: exitCode === 0, output }
    }
    const ip = target.podIP()
    if (!ip) return { ok: false, output: 'the pod has no address yet' }
    if (probe.httpGet) return await httpProbe(ip, target.container, probe.httpGet, timeoutMs)
    if (probe.tcpSocket)
      return await tcpProbe(probe.tcpSocket.host || ip, portOf(target.container, probe.tcpSocket.port), timeoutMs)
    if (probe.grpc) return await grpcHealth(ip, probe.grpc.port, probe.grpc.service ?? '', timeoutMs)
    return { ok: false, output: 'the probe has no handler' }
  } catch (error) {
    if (isError(error, 'timeout')) return { ok: false, output: `command timed out after ${timeoutMs / 1000}s` }
    return { ok: false, output: messageOf(error) }
  }
}

/** Kubernetes expands $(NAME) here too, but only of variables that have their value in the pod itself. */
const probeCommand = (command: readonly string[] | undefined, container: Container): string[] => {
  const env = new Map((container.env ?? []).map((v) => [v.name, v.value ?? '']))
  return (command ?? []).map((word) => expand(word, env))
}

const portOf = (container: Container, port: number | string): number => {
  if (typeof port === 'number') return port
  const named = container.ports?.find((p) => p.name === port)
  return named?.containerPort ?? Number(port)
}

const mostRedirects = 10

/** Redirects on the same host are followed, as the kubelet does; one to elsewhere is a success. */
export const httpProbe = (
  ip: string,
  container: Container,
  get: NonNullable<Probe['httpGet']>,
  timeoutMs: number,
): Promise<ProbeOutcome> => {
  const port = portOf(container, get.port)
  const headers = Object.fromEntries((get.httpHeaders ?? []).map((h) => [h.name, h.value]))
  const host = get.host || ip
  const path = get.path?.startsWith('/') ? get.path : `/${get.path ?? ''}`
  const scheme = get.scheme === 'HTTPS' ? 'https' : 'http'
  return httpGet(`${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}${path}`, headers, timeoutMs)
}

const httpGet = (first: string, headers: Record<string, string>, timeoutMs: number): Promise<ProbeOutcome> =>
  new Promise((resolve) => {
    let current: ClientRequest | undefined
    const done = (ok: boolean, output: string): void => {
      clearTimeout(timer)
      resolve({ ok, output })
      current?.destroy()
    }
    const late = `Get "${first}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`
    const timer = setTimeout(() => done(false, late), timeoutMs)
    const go = (url: URL, redirects: number): void => {
      const options = { headers: { 'User-Agent': 'kube-probe/1.33', Accept: '*/*', ...headers }, agent: false as const }
      current =
        url.protocol === 'https:'
          ? httpsRequest(url, { ...options, rejectUnauthorized: false })
          : httpRequest(url, options)
      current.on('response', (response) => {
        const code = response.statusCode ?? 0
        const next =
          code >= 300 && code < 400 && response.headers.location ? parseUrl(response.headers.location, url) : undefined
        if (next?.hostname !== url.hostname || redirects === mostRedirects)
          return done(code >= 200 && code < 400, `HTTP probe failed with statuscode: ${code}`)
        response.destroy()
        go(next, redirects + 1)
      })
      current.on('error', (error) => done(false, `Get "${url.href}": ${error.message}`))
      current.end()
    }
    const url = parseUrl(first)
    if (url) go(url, 0)
    else done(false, `Get "${first}": invalid URL`)
  })

const parseUrl = (text: string, base?: URL): URL | undefined => {
  try {
    return new URL(text, base)
  } catch {
    return undefined
  }
}

const tcpProbe = (host: string, port: number, timeoutMs: number): Promise<ProbeOutcome> =>
  new Promise((resolve) => {
    const socket = connect({ host, port })
    const done = (ok: boolean, output: string): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve({ ok, output })
    }
    const timer = setTimeout(() => done(false, `dial tcp ${host}:${port}: i/o timeout`), timeoutMs)
    socket.on('connect', () => done(true, ''))
    socket.on('error', (error) => done(false, `dial tcp ${host}:${port}: ${error.message}`))
  })
