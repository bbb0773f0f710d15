/** What is built: directories with Dockerfiles whose result can be told beforehand. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Chance } from './chance.ts'
import type { Files } from './ledger.ts'
import { hex } from './verify.ts'

export interface Project {
  dir: string
  secret: string
  /** What an image of it has to contain. */
  files: Files
  /** Whether it can be built for machines of another kind. */
  anyPlatform: boolean
  /** Whether the legacy builder's clients can give it all it wants. */
  plain: boolean
}

/** Deterministic bytes that a shell can make as well: compressible, unlike those of files. */
const lines = (token: string, count: number): string => `${token}\n`.repeat(count)

/** Draws all new, or changes one thing of what is there. */
export const drawProject = (dir: string, chance: Chance, base: string): Project => {
  rmSync(dir, { recursive: true, force: true })
  mkdirSync(join(dir, 'many/deep'), { recursive: true })
  const token = `token ${chance.between(0, 1e9)}`
  const data = chance.bytes(1 << chance.between(10, 22))
  const files: Record<string, string> = {}
  const put = (path: string, content: Buffer | string): void => writeFileSync(join(dir, path), content)
  put('token', token)
  put('data', data)
  const many = Array.from({ length: chance.between(1, 30) }, (_, i) => ({
    name: `${i}`,
    body: chance.bytes(chance.between(0, 9000)),
  }))
  for (const { name, body } of many) put(`many/deep/${name}`, body)
  const secret = join(dir, '.secret')
  put('.secret', `secret of ${token}`)
  put('.dockerignore', '.secret\nDockerfile\n')
  files['/soak/token'] = hex(token)
  files['/soak/data'] = hex(data)
  for (const { name, body } of many) files[`/soak/many/deep/${name}`] = hex(body)
  const anyPlatform = chance.happens(0.2)
  const plain = chance.happens(0.5)
  const count = chance.between(1, 60_000)
  if (!anyPlatform) {
    files['/soak/lines'] = hex(lines(token, count))
    files['/soak/sum'] = hex(`${hex(data)}\n`)
    if (!plain) files['/soak/secret'] = hex(`${hex(`secret of ${token}`)}\n`)
  }
  put('Dockerfile', anyPlatform ? copying(chance) : running(chance, { base, token, count, plain }))
  return { dir, secret, files, anyPlatform, plain }
}

const copying = (chance: Chance): string => `FROM scratch AS one
COPY data token /soak/
FROM scratch
LABEL soak=${chance.between(0, 1e6)}
COPY ${chance.one(['', '--link '])}many /soak/many
COPY --from=one /soak /soak
`

const running = (
  chance: Chance,
  { base, token, count, plain }: { base: string; token: string; count: number; plain: boolean },
): string => {
  const mount = chance.one([
    '--mount=type=cache,target=/cache ',
    '--mount=type=cache,target=/cache,sharing=locked ',
    '',
    '--mount=type=tmpfs,target=/cache ',
  ])
  const pause = chance.happens(0.3) ? ' && sleep 0.3' : ''
  return `FROM ${base} AS one
RUN mkdir -p /soak /cache
RUN yes '${token}' | head -n ${count} > /soak/lines${pause}
FROM ${base} AS two
COPY data /in/data
RUN ${mount}mkdir -p /soak /cache && echo $$ >> /cache/log && busybox sha256sum /in/data | head -c 64 > /soak/sum && echo >> /soak/sum${pause}
FROM ${base}
LABEL soak=${chance.between(0, 1e6)}
COPY --from=one /soak /soak
COPY --from=two /soak/sum /soak/
${chance.one(['COPY token data /soak/', 'COPY --link token data /soak/', 'COPY token /soak/\nADD data /soak/'])}
${plain ? '' : 'RUN --mount=type=secret,id=soak busybox sha256sum /run/secrets/soak | head -c 64 > /soak/secret && echo >> /soak/secret\n'}${chance.happens(0.5) ? 'RUN --mount=type=bind,from=one,target=/one busybox cmp /one/soak/lines /soak/lines\n' : ''}COPY many /soak/many
CMD ["cat", "/soak/token"]
`
}
