/** A project of two services through both generations of docker's compose: the same questions to each. */
import assert from 'node:assert/strict'
import { after, afterEach, describe, test } from 'node:test'
import { startCompose } from './compose-kit.ts'
import { until } from './docker-kit.ts'

const compose = startCompose()
after(() => compose.stop())
const { ok } = compose.docker

/** `version` is obsolete to 2.x, and without one 1.x reads version 1. */
const file = `
version: "2.4"
services:
  db:
    image: busybox:latest
    command: ["sh", "-c", "echo db up; sleep 0.3; echo kept >> /data/log; touch /tmp/ready; exec sleep 1000"]
    volumes: ["data:/data"]
    networks: {back: {aliases: [database]}}
    healthcheck: {test: ["CMD", "test", "-f", "/tmp/ready"], interval: 1s, retries: 20}
    stop_grace_period: 1s
    init: true
  web:
    build: {context: ., args: {WHO: world}}
    environment: {PAINT: "\${PAINT:-red}"}
    depends_on: {db: {condition: service_healthy}}
    ports: ["127.0.0.1::8080"]
    networks: [front, back]
    volumes: ["/cache"]
volumes: {data: {labels: {kind: test}}}
networks: {front: {}, back: {}}
`
const dockerfile = `FROM busybox:latest
ARG WHO=nobody
RUN mkdir /www && echo "hello $WHO" > /www/index.html
CMD ["sh", "-c", "echo web up; trap 'exit 0' TERM; busybox httpd -f -p 8080 -h /www & wait"]
`

for (const generation of ['v1', 'v2'] as const)
  describe(generation === 'v1' ? 'docker-compose 1.29' : 'docker compose 2', () => {
    const name = `shop${generation}`
    const root = compose.project(name, { 'docker-compose.yml': file, Dockerfile: dockerfile })
    const { run, ok: up } = compose[generation](root)
    const separator = generation === 'v1' ? '_' : '-'
    const container = (service: string, index = 1): string => [name, service, index].join(separator)
    afterEach(async () => {
      await run(['down', '-v', '-t', '1', '--remove-orphans'])
      await compose.docker.clean()
    })

    test('up builds, waits for what it depends on, joins networks; down -v leaves nothing', async () => {
      await up(['up', '-d'])
      assert.equal(await ok('inspect', '-f', '{{.State.Health.Status}}', container('db')), 'healthy')
      const dbStarted = Date.parse(await ok('inspect', '-f', '{{.State.StartedAt}}', container('db')))
      const webStarted = Date.parse(await ok('inspect', '-f', '{{.State.StartedAt}}', container('web')))
      assert.ok(webStarted - dbStarted >= 300, `web came ${webStarted - dbStarted} ms after db`)
      assert.match(await up(['ps']), new RegExp(`${container('web')} .*127\\.0\\.0\\.1:\\d+->8080/tcp`))
      assert.equal((await up(['ps', '-q'])).split('\n').length, 2)
      const logs = await up(['logs', '--tail', '5'])
      assert.match(logs, /db.*\| db up/)
      assert.match(logs, /web.*\| web up/)
      assert.match(await up(['exec', '-T', 'web', 'nslookup', 'database']), /Name:\s+database\s+Address: \d/)
      assert.equal((await run(['exec', '-T', 'db', 'nslookup', 'nowhere'])).code, 1)
      const address = await up(['port', 'web', '8080'])
      assert.equal(await (await fetch(`http://${address}/`)).text(), 'hello world\n')
      assert.equal((await run(['exec', '-T', 'web', 'sh', '-c', 'exit 7'])).code, 7)
      assert.equal(await ok('volume', 'inspect', '-f', '{{.Labels.kind}}', `${name}_data`), 'test')
      assert.match(await up(['top']), /httpd -f -p 8080/)
      assert.match(await up(['images']), /busybox/)
      await up(['down', '-v', '-t', '1'])
      assert.equal(await ok('ps', '-aq'), '')
      assert.equal(await ok('volume', 'ls', '-q', '--filter', 'label=kind'), '')
      assert.equal(await ok('network', 'ls', '-q', '--filter', 'type=custom'), '')
    })

    test('a change recreates only its service, with its anonymous volume; nothing changed, nothing done', async () => {
      await up(['up', '-d'])
      const before = { db: await ok('inspect', '-f', '{{.Id}}', container('db')), web: await up(['ps', '-q', 'web']) }
      await up(['exec', '-T', 'web', 'touch', '/cache/warm'])
      await up(['up', '-d'])
      assert.equal(await up(['ps', '-q', 'web']), before.web)
      await up(['up', '-d'], { env: { PAINT: 'blue' } })
      assert.equal(await ok('inspect', '-f', '{{.Id}}', container('db')), before.db)
      assert.notEqual(await up(['ps', '-q', 'web']), before.web)
      assert.equal(await up(['exec', '-T', 'web', 'sh', '-c', 'echo $PAINT; ls /cache']), 'blue\nwarm')
      // The old one stepped aside by a rename; the new one has the name.
      assert.deepEqual((await ok('ps', '-a', '--format', '{{.Names}}')).split('\n').sort(), [
        container('db'),
        container('web'),
      ])
    })

    test('scale, restart, stop, start, pause, kill, rm, run', async () => {
      await up(['up', '-d', '--scale', 'web=2'])
      assert.equal((await up(['ps', '-q', 'web'])).split('\n').length, 2)
      await up(['up', '-d', '--scale', 'web=1'])
      const started = await ok('inspect', '-f', '{{.State.StartedAt}}', container('web'))
      await up(['restart', '-t', '1', 'web'])
      assert.notEqual(await ok('inspect', '-f', '{{.State.StartedAt}}', container('web')), started)
      await up(['stop', '-t', '1'])
      assert.match(await ok('inspect', '-f', '{{.State.Status}}', container('web')), /exited/)
      await up(['start'])
      await until('web', async () => (await run(['exec', '-T', 'web', 'true'])).code === 0)
      await up(['pause', 'web'])
      assert.equal(await ok('inspect', '-f', '{{.State.Status}}', container('web')), 'paused')
      await up(['unpause', 'web'])
      await up(['kill', 'web'])
      await until('the end of web', async () =>
        (await ok('inspect', '-f', '{{.State.Status}}', container('web'))).startsWith('exited'),
      )
      await up(['rm', '-f', 'web'])
      // The volume outlived every restart of the service.
      assert.equal(await up(['run', '--rm', 'db', 'busybox', 'sort', '-u', '/data/log']), 'kept')
      assert.equal((await run(['run', '--rm', '--no-deps', 'db', 'sh', '-c', 'exit 5'])).code, 5)
    })

    test('in the foreground, up ends with the container and says its exit code', async () => {
      const dir = compose.project(`once${generation}`, {
        'docker-compose.yml':
          'version: "2.4"\nservices:\n  job: {image: "busybox:latest", command: ["sh", "-c", "echo working; sleep 0.5; exit 3"]}\n',
      })
      const job = compose[generation](dir)
      const ran = await job.run(['up', '--exit-code-from', 'job'])
      assert.equal(ran.code, 3, ran.stdout + ran.stderr)
      assert.match(ran.stdout, /job.*\| working/)
      await job.ok(['down'])
    })
  })
