/** An engine that does nothing and remembers what it was asked: for comparing clients by what they send. */
import { mkdirSync } from 'node:fs'
import { createServer, type Server as HttpServer } from 'node:http'
import { createServer as createSocketServer, type Server } from 'node:net'
import { join } from 'node:path'

export interface FakeEngine {
  /** SLIPWAY_HOME of an instance that seems to run, and DOCKER_HOST. */
  env: NodeJS.ProcessEnv
  /** Requests since the last call, each as "METHOD PATH?QUERY" and its body; what means nothing is left out of both. */
  taken(): string[]
  stop(): void
}

const container = {
  Id: 'c0ffee',
  Config: { Tty: false, OpenStdin: false },
  State: { Running: true },
  HostConfig: { AutoRemove: false },
  NetworkSettings: { Ports: {} },
}

/** Enough for a client to go on. */
const answers: [RegExp, unknown][] = [
  [/\/version$/, { Version: 'x', ApiVersion: '1.50', MinAPIVersion: '1.24' }],
  [/\/containers\/json$|\/images\/json$|\/history$|\/changes$|\/search$/, []],
  [/\/networks$/, []],
  [/\/volumes$/, { Volumes: [] }],
  [/\/top$/, { Titles: ['PID'], Processes: [['1']] }],
  [/\/wait$/, { StatusCode: 0 }],
  [/\/containers\/[^/]*\/json$/, container],
  [/prune$/, { SpaceReclaimed: 0 }],
  [/\/volumes\/create$/, { Name: 'made' }],
  [/\/exec\/[^/]*\/json$/, { ExitCode: 0 }],
  [/\/events$|\/start$|\/images\/create$|\/push$|\/load$/, ''],
]

const order = (a: [string, unknown], b: [string, unknown]): number => (a[0] < b[0] ? -1 : 1)
/** Go's client sends all that is empty; maps and lists of named things have no order. */
const meant = (value: unknown): unknown => {
  if (Array.isArray(value)) {
    const items = value.map(meant)
    const named = items.every(
      (each) => typeof each === 'string' || (each !== null && typeof each === 'object' && 'Name' in each),
    )
    const sorted = named ? items.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)) : items
    return sorted.length > 0 ? sorted : undefined
  }
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value)
      .map(([key, each]): [string, unknown] => [key, meant(each)])
      .filter(
        ([key, each]) => each !== undefined && key !== 'ConsoleSize' && !(key === 'MemorySwappiness' && each === -1),
      )
      .sort(order)
    return entries.length > 0 ? Object.fromEntries(entries) : undefined
  }
  return value === '' || value === 0 || value === false || value === null ? undefined : value
}

const queryText = (query: URLSearchParams): string =>
  [...query]
    .filter(([, value]) => value !== '' && value !== '0')
    .map(([key, value]): [string, string] => [
      key,
      value.startsWith('{') ? JSON.stringify(meant(JSON.parse(value))) : value,
    ])
    .sort((a, b) => order([a.join('='), ''], [b.join('='), '']))
    .map((pair) => pair.join('='))
    .join('&')

export const startFakeEngine = async (home: string): Promise<FakeEngine> => {
  const run = join(home, 'run')
  mkdirSync(run, { recursive: true })
  let asked: string[] = []
  const engine = createServer((req, res) => {
    const chunks: Buffer[] = []
    req.on('data', (chunk: Buffer) => chunks.push(chunk))
    req.on('end', () => {
      if (req.url!.endsWith('/_ping'))
        return void res.writeHead(200, { 'Api-Version': '1.50', OSType: 'linux' }).end('OK')
      const url = new URL(req.url!.replace(/^\/v[\d.]+/, ''), 'http://engine')
      const json = req.headers['content-type'] === 'application/json' && chunks.length > 0
      const body = json ? meant(JSON.parse(Buffer.concat(chunks).toString())) : undefined
      asked.push(
        [`${req.method} ${decodeURIComponent(url.pathname)}?${queryText(url.searchParams)}`, JSON.stringify(body)].join(
          ' ',
        ),
      )
      const [, answer] = answers.find(([path]) => path.test(url.pathname)) ?? [
        undefined,
        { Id: 'c0ffee', Warnings: [] },
      ]
      const removal = req.method === 'DELETE' && url.pathname.startsWith('/images/')
      res.writeHead(200, { 'content-type': 'application/json', 'Api-Version': '1.50' })
      res.end(answer === '' ? '' : JSON.stringify(removal ? [] : answer))
    })
  })
  const control = createSocketServer((socket) => socket.end())
  const listen = (server: Server | HttpServer, name: string): Promise<void> =>
    new Promise((ready) => server.listen(join(run, name), () => ready()))
  await Promise.all([listen(engine, 'docker.sock'), listen(control, 'control.sock')])
  return {
    env: {
      ...process.env,
      SLIPWAY_HOME: home,
      DOCKER_HOST: `unix://${join(run, 'docker.sock')}`,
      DOCKER_CONFIG: join(home, 'docker-config'),
      DOCKER_CLI_HINTS: 'false',
    },
    taken() {
      const all = asked.sort()
      asked = []
      return all
    },
    stop() {
      engine.closeAllConnections()
      engine.close()
      control.close()
    },
  }
}
