// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are Compose templates, not ours
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { failure, load, loadFiles, projectOf, web } from './fixture.ts'

test('extends: from the same file, from another, paths from where it is written', async () => {
  const { project, directory } = await loadFiles({
    'compose.yaml':
      'services:\n  web:\n    extends: {file: common/base.yaml, service: app}\n    environment: {B: "2"}\n  two:\n    extends: web\n    image: two\n',
    'common/base.yaml':
      'services:\n  app:\n    extends: root\n    image: app\n    environment: {A: "1", B: "1"}\n  root:\n    build: ./src\n    env_file: e.env\n    volumes: ["./data:/data", "named:/n"]\nvolumes: {named: }\nnetworks: {net: }\n'.replace(
        ', "named:/n"',
        '',
      ),
    'common/e.env': 'E=5',
  })
  const { web: first, two } = project.services
  assert.deepEqual(first?.environment, { A: '1', B: '2', E: '5' })
  assert.equal(first?.build?.context, `${directory}/common/src`)
  assert.equal(first?.volumes?.[0]?.source, `${directory}/common/data`)
  assert.deepEqual([two?.image, two?.environment?.B, two?.extends], ['two', '2', undefined])
  assert.deepEqual([Object.keys(project.volumes), Object.keys(project.networks)], [[], ['default']])
})
test('extends: cycles and missing services', async () => {
  const cycle = await failure(load('services:\n  a: {extends: b}\n  b: {extends: c}\n  c: {extends: a}\n'))
  assert.equal(cycle.message, 'circular reference with extends: a -> b -> c -> a')
  const missing = await failure(load('services:\n  a: {image: a, extends: gone}\n'))
  assert.match(missing.message, /cannot extend service "a" in .*: service "gone" not found/)
  assert.match(
    (await failure(load('services:\n  a: {extends: {file: gone.yaml, service: x}}\n'))).message,
    /open .*gone\.yaml: no such file/,
  )
})
test('extends: what is extended from another file must exist here', async () => {
  const error = await failure(
    loadFiles({
      'compose.yaml': 'services: {a: {extends: {file: b.yaml, service: b}}}\n',
      'b.yaml': 'services: {b: {image: b, volumes: ["data:/d"]}}\nvolumes: {data: }\n',
    }),
  )
  assert.equal(error.message, 'service "a" refers to undefined volume data: invalid project')
})
test('extends and merge: an override file may extend a service of an earlier one', async () => {
  const { project } = await loadFiles(
    { 'a.yaml': 'services: {base: {image: base, init: true}}\n', 'b.yaml': 'services: {web: {extends: base}}\n' },
    { files: ['a.yaml', 'b.yaml'] },
  )
  assert.deepEqual([project.services.web?.image, project.services.web?.init], ['base', true])
})

test('include: merged under the local file, paths from its own directory', async () => {
  const { project, directory } = await loadFiles({
    'compose.yaml':
      'include: [sub/compose.yaml]\nservices:\n  web:\n    extends: db\n  db:\n    labels: {local: "1"}\n',
    'sub/compose.yaml':
      'services:\n  db:\n    image: db:${V}\n    labels: {local: "0", included: "1"}\n    volumes: ["./d:/d", "data:/data"]\nvolumes: {data: }\n',
    'sub/.env': 'V=sub',
  })
  assert.deepEqual(project.services.db?.labels, { local: '1', included: '1' })
  assert.equal(project.services.db?.image, 'db:sub')
  assert.equal(project.services.db?.volumes?.[0]?.source, `${directory}/sub/d`)
  assert.deepEqual(Object.keys(project.volumes), ['data'])
  assert.equal(project.services.web?.image, 'db:sub', 'include goes before extends')
  assert.equal(project.name, 'shop')
})
test('include: several files, project_directory, env_file; the local environment wins', async () => {
  const files = {
    'compose.yaml': 'include:\n  - path: [a.yaml, b.yaml]\n    project_directory: sub\n    env_file: inc.env\n',
    'a.yaml': 'services: {web: {image: "a:${V}-${W}", build: .}}\n',
    'b.yaml': 'services: {web: {init: true}}\n',
    'inc.env': 'V=inc\nW=inc',
    '.env': 'V=local',
  }
  const { project, directory } = await loadFiles(files)
  assert.deepEqual(
    [project.services.web?.image, project.services.web?.init, project.services.web?.build?.context],
    ['a:local-inc', true, `${directory}/sub`],
  )
})
test('include: cycles and remote files', async () => {
  assert.match(
    (await failure(loadFiles({ 'compose.yaml': 'include: [b.yaml]\n', 'b.yaml': 'include: [compose.yaml]\n' })))
      .message,
    /include cycle detected/,
  )
  assert.match(
    (await failure(load('include: ["https://example.com/x.yaml"]\n'))).message,
    /remote resource .* is not supported/,
  )
})

const profiled =
  'services:\n  web: {image: w}\n  debug: {image: d, profiles: [debug], depends_on: [tool]}\n  tool: {image: t, profiles: [tools]}\n'
const enabled = async (options: Parameters<typeof projectOf>[1], yaml = profiled): Promise<string[]> =>
  Object.keys((await projectOf(yaml, options)).services)
test('profiles: --profile replaces COMPOSE_PROFILES', async () => {
  const yaml = profiled.replace(', depends_on: [tool]', '')
  assert.deepEqual(await enabled({}, yaml), ['web'])
  assert.deepEqual(await enabled({ environment: { COMPOSE_PROFILES: 'debug,tools' } }, yaml), ['web', 'debug', 'tool'])
  assert.deepEqual(await enabled({ profiles: ['tools'], environment: { COMPOSE_PROFILES: 'debug' } }, yaml), [
    'web',
    'tool',
  ])
  assert.deepEqual(await enabled({ profiles: ['*'] }, yaml), ['web', 'debug', 'tool'])
  assert.deepEqual(Object.keys((await projectOf(yaml)).disabledServices), ['debug', 'tool'])
})
test('profiles: naming a service enables its profiles, not those of its dependencies', async () => {
  const error = await failure(projectOf(profiled, { services: ['debug'] }))
  assert.equal(
    error.message,
    'service "tool" is required by "debug" but is disabled. Can be enabled by profiles [tools]',
  )
  const optional = profiled.replace(
    'depends_on: [tool]',
    'depends_on: {tool: {condition: service_started, required: false}}',
  )
  const project = await projectOf(optional, { services: ['debug'] })
  assert.deepEqual([Object.keys(project.services), project.services.debug?.depends_on], [['web', 'debug'], {}])
})

const wrong: [what: string, yaml: string, message: RegExp][] = [
  [
    'neither image nor build',
    'services: {web: {init: true}}',
    /service "web" has neither an image nor a build context specified/,
  ],
  [
    'undefined network',
    'services: {web: {image: w, networks: [nett]}}\nnetworks: {net: }',
    /refers to undefined network nett/,
  ],
  ['undefined volume', 'services: {web: {image: w, volumes: ["a:/a"]}}', /refers to undefined volume a/],
  ['undefined secret', 'services: {web: {image: w, secrets: [a]}}', /refers to undefined secret a/],
  ['undefined config', 'services: {web: {image: w, configs: [a]}}', /refers to undefined config a/],
  [
    'undefined build secret',
    'services: {web: {build: {context: ., secrets: [a]}}}',
    /refers to undefined build secret a/,
  ],
  [
    'undefined dependency',
    'services: {web: {image: w, depends_on: [bd]}, db: {image: d}}',
    /service "web" depends on undefined service "bd"/,
  ],
  [
    'undefined namespace owner',
    'services: {web: {image: w, network_mode: "service:x"}}',
    /depends on undefined service "x"|refers to undefined service "x"/,
  ],
  [
    'dependency cycle',
    'services: {a: {image: a, depends_on: [b]}, b: {image: b, depends_on: [a]}}',
    /dependency cycle detected: a -> b -> a/,
  ],
  [
    'scale and replicas',
    'services: {web: {image: w, scale: 2, deploy: {replicas: 3}}}',
    /can't set distinct values on 'scale' and 'deploy.replicas'/,
  ],
  [
    'cpus',
    'services: {web: {image: w, cpus: 1, deploy: {resources: {limits: {cpus: 2}}}}}',
    /distinct values on 'cpus'/,
  ],
  [
    'memory',
    'services: {web: {image: w, mem_limit: 1g, deploy: {resources: {limits: {memory: 2g}}}}}',
    /distinct values on 'mem_limit'/,
  ],
  [
    'container_name with replicas',
    'services: {web: {image: w, container_name: aa, scale: 2}}',
    /can't set container_name and scale > 1/,
  ],
  [
    'network_mode with networks',
    'services: {web: {image: w, network_mode: host, networks: [a]}}\nnetworks: {a: }',
    /mutually exclusive `network_mode` and `networks`/,
  ],
  [
    'two mounts on one path',
    'services: {web: {image: w, volumes: ["/a:/x"], tmpfs: /x}}',
    /tmpfs\.0: target \/x already mounted as services\.web\.volumes\.0/,
  ],
  [
    'a secret from nowhere',
    'services: {}\nsecrets: {s: {labels: {a: b}}}',
    /secret "s" must declare either `file` or `environment`/,
  ],
  [
    'external and more',
    'services: {}\nvolumes: {v: {external: true, driver: local}}',
    /volumes\.v: conflicting parameters "external" and "driver"/,
  ],
  [
    'platforms',
    'services: {web: {platform: linux/arm64, build: {context: ., platforms: [linux/amd64]}}}',
    /MUST include service\.platform/,
  ],
  [
    'sync without a target',
    'services: {web: {image: w, develop: {watch: [{path: ., action: sync}]}}}',
    /target is required for non-rebuild actions/,
  ],
  [
    'condition missing',
    'services: {web: {image: w, depends_on: {db: {restart: true}}}, db: {image: d}}',
    /depends_on\.db: missing property 'condition'/,
  ],
]
for (const [what, yaml, message] of wrong)
  test(`refused: ${what}`, async () => {
    const error = await failure(load(`${yaml}\n`))
    assert.match(error.message, message)
    assert.ok(error.at?.line, 'says where')
  })
test('nearest names are offered', async () => {
  assert.equal(
    (await failure(load('services: {web: {image: w, networks: [nett]}}\nnetworks: {net: }\n'))).hint,
    "Did you mean 'net'?",
  )
})

test('namespaces, links and volumes_from imply depends_on', async () => {
  const others = ['a', 'b', 'c', 'd'].map((name) => `  ${name}: {image: x}`).join('\n')
  const service = await web('links: ["a:alias"]\nvolumes_from: ["b:ro"]\nipc: "service:c"\nnetwork_mode: "service:d"', {
    also: others,
  })
  assert.deepEqual(service.depends_on, {
    d: { condition: 'service_started', required: true, restart: true },
    c: { condition: 'service_started', required: true, restart: true },
    a: { condition: 'service_started', required: true, restart: true },
    b: { condition: 'service_started', required: true },
  })
})
test('names are project_key, external ones their own', async () => {
  const project = await projectOf(
    'services:\n  web: {image: w, networks: [n, e]}\nnetworks: {n: , e: {external: true}}\nvolumes: {v: , own: {name: mine}, old: {external: {name: legacy}}}\n',
  )
  assert.deepEqual([project.networks.n?.name, project.networks.e?.name], ['shop_n', 'e'])
  assert.deepEqual(
    [project.volumes.v?.name, project.volumes.own?.name, project.volumes.old?.name, project.volumes.old?.external],
    ['shop_v', 'mine', 'legacy', true],
  )
})
test('secrets and configs are read', async () => {
  const { project } = await loadFiles(
    {
      'compose.yaml':
        'services: {}\nsecrets:\n  f: {file: s.txt}\n  e: {environment: E}\n  gone: {file: gone}\nconfigs:\n  c: {content: "hello ${E}"}\n',
      's.txt': 'secret',
    },
    { environment: { E: 'env' } },
  )
  const text = (data: Uint8Array | undefined): string | undefined => data && Buffer.from(data).toString()
  assert.deepEqual(
    [
      text(project.secrets.f?.data),
      text(project.secrets.e?.data),
      text(project.secrets.gone?.data),
      text(project.configs.c?.data),
    ],
    ['secret', 'env', undefined, 'hello env'],
  )
})
