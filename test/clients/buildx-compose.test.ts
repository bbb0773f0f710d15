/** `docker compose` 2.x builds through BuildKit's API. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { shell, startBuildx } from './buildx-kit.ts'

const buildx = startBuildx()
after(() => buildx.stop())
const { ok, run, project } = buildx

const compose = `services:
  web:
    build:
      context: web
      args: { GREETING: hello }
      labels: { made: here }
      secrets: [token]
  inline:
    build:
      context: .
      additional_contexts: { web: ./web }
      dockerfile_inline: |
        FROM scratch
        COPY --from=web text /text
        COPY web/busybox /bin/busybox
        CMD ["/bin/busybox", "cat", "/text"]
secrets:
  token: { file: ./token }
`

test('build, up --build after a change, down', async () => {
  const cwd = project('app', { 'compose.yaml': compose, token: 'sesame' })
  const dockerfile = `${shell}ARG GREETING\nRUN --mount=type=secret,id=token echo "$GREETING $(cat /run/secrets/token)" > /text\nCOPY text /own\nCMD ["/bin/busybox", "cat", "/text", "/own"]\n`
  project('app/web', { Dockerfile: dockerfile, text: 'one\n' })
  const built = await ok(['compose', 'build'], { cwd })
  assert.match(built.all, /naming to docker.io\/library\/app-web/)
  assert.match(built.all, /naming to docker.io\/library\/app-inline/)
  assert.equal((await ok(['inspect', '--format', '{{.Config.Labels.made}}', 'app-web'])).stdout, 'here\n')
  const first = await ok(['compose', 'up', '--build'], { cwd })
  assert.match(first.all, /web-1 +\| hello sesame\n/)
  assert.match(first.all, /web-1 +\| one\n/)
  assert.match(first.all, /inline-1 +\| one\n/)
  writeFileSync(join(cwd, 'web/text'), 'two\n')
  const second = await ok(['compose', 'up', '--build'], { cwd })
  assert.match(second.all, /web-1 +\| two\n/)
  assert.match(second.all, /inline-1 +\| two\n/)
  await ok(['compose', 'down', '--rmi', 'local'], { cwd })
  assert.equal((await ok(['images', '-q', 'app-web'])).stdout, '')
})

test('a build that fails fails the command, with the step', async () => {
  const cwd = project('broken', {
    'compose.yaml': 'services:\n  a:\n    build: .\n',
    Dockerfile: `${shell}RUN exit 7\n`,
  })
  const { code, all } = await run(['compose', 'up', '--build'], { cwd })
  assert.notEqual(code, 0)
  assert.match(all, /process "\/bin\/sh -c exit 7" did not complete successfully: exit code: 7/)
})
