/** Registries for tests: Debian's docker-registry, open, with a password, or with a token server of our own; and TLS from an own authority. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createPrivateKey, randomUUID, sign, X509Certificate } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, request as httpRequest, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net'
import { join } from 'node:path'
import { pipeline } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Registry {
  /** HOST:PORT */
  host: string
  /** Directory of the registry's storage. */
  storage: string
  stop(): void
}

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createTcpServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })

export interface Authority {
  /** PEM file of the authority's certificate. */
  ca: string
  /** A certificate for localhost and 127.0.0.1, and its key: files. */
  cert: string
  key: string
}

const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] })
const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

export const makeAuthority = (dir: string): Authority => {
  mkdirSync(dir, { recursive: true })
  const at = (name: string): string => join(dir, name)
  openssl(
    'req',
    '-x509',
    ...newKey,
    '-days',
    '2',
    '-subj',
    '/CN=test CA',
    '-keyout',
    at('ca.key'),
    '-out',
    at('ca.crt'),
  )
  openssl('req', ...newKey, '-subj', '/CN=localhost', '-keyout', at('key.pem'), '-out', at('csr.pem'))
  writeFileSync(at('ext'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n')
  const by = ['-CA', at('ca.crt'), '-CAkey', at('ca.key'), '-CAcreateserial', '-extfile', at('ext')]
  openssl('x509', '-req', '-in', at('csr.pem'), ...by, '-days', '1', '-out', at('cert.pem'))
  return { ca: at('ca.crt'), cert: at('cert.pem'), key: at('key.pem') }
}

export interface RegistryOptions {
  /** `user` with this password. */
  password?: string
  token?: TokenServer
  tls?: Authority
  /** Further lines of the configuration file. */
  more?: string
}

/** Starts docker-registry on loopback; `name` of the host is 127.0.0.1, or localhost with TLS. */
export const startRegistry = async (dir: string, options: RegistryOptions = {}): Promise<Registry> => {
  const port = await freePort()
  const storage = join(dir, `storage-${port}`)
  mkdirSync(storage, { recursive: true })
  const config = join(dir, `registry-${port}.yml`)
  const passwords = join(dir, `htpasswd-${port}`)
  if (options.password !== undefined) writeFileSync(passwords, `user:${bcrypt(options.password)}\n`)
  const auth =
    options.password !== undefined
      ? `auth:\n  htpasswd: {realm: test, path: ${passwords}}\n`
      : options.token
        ? `auth:\n  token: {realm: "${options.token.realm}", service: test-registry, issuer: test-issuer, rootcertbundle: ${options.token.certificate}}\n`
        : ''
  const tls = options.tls ? `, tls: {certificate: ${options.tls.cert}, key: ${options.tls.key}}` : ''
  writeFileSync(
    config,
    `version: 0.1\nlog: {level: error}\nstorage:\n  filesystem: {rootdirectory: ${storage}}\n  delete: {enabled: true}\nhttp: {addr: "127.0.0.1:${port}"${tls}}\n${auth}${options.more ?? ''}`,
  )
  const child: ChildProcess = spawn('docker-registry', ['serve', config], { stdio: 'ignore' })
  const failed = new Promise<never>((_, reject) => {
    child.once('error', (cause) => reject(new Error(`docker-registry does not run: ${cause.message}`)))
    child.once('exit', (code) => reject(new Error(`docker-registry ended with ${code}`)))
  })
  failed.catch(() => {})
  for (let i = 0; !(await listens(port)); i++) {
    if (i > 100) throw new Error('docker-registry does not come up')
    await Promise.race([failed, new Promise((go) => setTimeout(go, 50))])
  }
  return { host: `${options.tls ? 'localhost' : '127.0.0.1'}:${port}`, storage, stop: () => void child.kill() }
}

const listens = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })

const bcrypt = (password: string): string =>
  execFileSync(
    'python3',
    ['-c', 'import crypt,sys; print(crypt.crypt(sys.argv[1], "$2b$05$abcdefghijklmnopqrstuu"))', password],
    {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  )
    .trim()
    .replace(/^\$2b/, '$2y')

export interface TokenServer {
  realm: string
  /** PEM file of what the registry shall trust. */
  certificate: string
  /** Every request for a token: method, what was asked, and who asked. */
  asked: { method: string; scopes: string[]; account: string | undefined; offline: boolean }[]
  /** Life of tokens in seconds; what has been handed out keeps its own. */
  lifeSeconds: number
  close(): void
}

/**
 * Docker's token authentication (distribution's docs/spec/auth): user/secret may do everything; anonymous may pull what
 * begins with public/. With offline_token an identity token, which is good for a new token later.
 */
export const startTokenServer = async (dir: string): Promise<TokenServer> => {
  mkdirSync(dir, { recursive: true })
  const [keyFile, certificate] = [join(dir, 'token.key'), join(dir, 'token.crt')]
  openssl('req', '-x509', ...newKey, '-days', '2', '-subj', '/CN=token', '-keyout', keyFile, '-out', certificate)
  const key = createPrivateKey(readFileSync(keyFile))
  const der = new X509Certificate(readFileSync(certificate)).raw.toString('base64')
  const identity = randomUUID()
  const issue = (scopes: string[], account: string | undefined, life: number): string => {
    const now = Math.floor(Date.now() / 1000)
    const access = scopes.flatMap((scope) => {
      const [type, name = '', actions = ''] = scope.split(':')
      const granted = actions
        .split(',')
        .filter((action) => account || (action === 'pull' && name.startsWith('public/')))
      return granted.length > 0 ? [{ type, name, actions: granted }] : []
    })
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
    const signed = `${part({ typ: 'JWT', alg: 'ES256', x5c: [der] })}.${part({
      iss: 'test-issuer',
      sub: account ?? '',
      aud: 'test-registry',
      exp: now + life,
      nbf: now - 10,
      iat: now,
      jti: randomUUID(),
      access,
    })}`
    return `${signed}.${sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
  }
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const form = new URLSearchParams(Buffer.concat(chunks).toString())
    const query = request.method === 'POST' ? form : new URL(request.url!, 'http://x').searchParams
    const scopes = query
      .getAll('scope')
      .flatMap((scope) => scope.split(' '))
      .filter(Boolean)
    const [user, password] = Buffer.from((request.headers.authorization ?? '').replace(/^Basic /, ''), 'base64')
      .toString()
      .split(':')
    const refreshed = form.get('refresh_token') === identity
    const account = refreshed || (user === 'user' && password === 'secret') ? 'user' : undefined
    const offline = query.get('offline_token') === 'true'
    server.asked.push({ method: request.method!, scopes, account, offline })
    if ((user || form.has('refresh_token')) && !account) {
      response.writeHead(401).end('{"details":"incorrect username or password"}')
      return
    }
    const token = issue(scopes, account, server.lifeSeconds)
    response.setHeader('Content-Type', 'application/json')
    response.end(
      JSON.stringify({
        token,
        access_token: token,
        expires_in: server.lifeSeconds,
        ...(offline && { refresh_token: identity }),
      }),
    )
  }
  const http: Server = createServer((request, response) => void answer(request, response))
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const server: TokenServer = {
    realm: `http://127.0.0.1:${(http.address() as AddressInfo).port}/token`,
    certificate,
    asked: [],
    lifeSeconds: 300,
    close() {
      http.closeAllConnections()
      http.close()
    },
  }
  return server
}

export interface SlowProxy {
  /** HOST:PORT in front of the registry. */
  host: string
  /** Bytes a second of large blobs; default: no limit. */
  rate: number
  /** Of large blobs: from which byte on they were asked for, and how many went out. */
  served: { from: number; bytes: number }[]
  /** Requests that are being answered. */
  open(): number
  close(): void
}

/** A way to a registry that is as slow as one likes. */
export const startSlowProxy = async (registry: string): Promise<SlowProxy> => {
  let open = 0
  const http = createServer((request, response) => {
    open++
    response.once('close', () => open--)
    const upstream = httpRequest(
      `http://${registry}${request.url}`,
      { method: request.method, headers: { ...request.headers, host: registry } },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        const large = request.method === 'GET' && Number(answer.headers['content-length']) > 1 << 20
        if (large) pass(answer, response, Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0))
        else answer.pipe(response)
      },
    )
    upstream.on('error', () => response.destroy())
    request.pipe(upstream)
  })
  const pass = (answer: IncomingMessage, response: ServerResponse, from: number): void => {
    const one = { from, bytes: 0 }
    proxy.served.push(one)
    const paced = async function* (): AsyncGenerator<Buffer> {
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        one.bytes += chunk.length
        yield chunk
        if (Number.isFinite(proxy.rate)) await sleep((chunk.length / proxy.rate) * 1000)
      }
    }
    pipeline(paced, response, () => answer.destroy()) // the client may go at any time
  }
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const proxy: SlowProxy = {
    host: `127.0.0.1:${(http.address() as AddressInfo).port}`,
    rate: Number.POSITIVE_INFINITY,
    served: [],
    open: () => open,
    close() {
      http.closeAllConnections()
      http.close()
    },
  }
  return proxy
}
