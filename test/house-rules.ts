/**
 * The rules of the house, as a test. Every rule says why it is there; what breaks one is named with file and line.
 * Run by `npm run check`. Why not the usual tools: docs/decisions/0003-house-rules-in-one-file.md
 */

import { readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { exceptions, longFiles, longFunctions } from './house/exceptions.ts'
import { type Export, filesBelow, functionsIn, type Import, readSource, type Source } from './house/source.ts'

const root = dirname(import.meta.dirname)
const files = filesBelow(root)
const sources = new Map(
  files.filter((path) => /^(?:src|test|bench|tools)\/.*\.ts$/.test(path)).map((path) => [path, readSource(root, path)]),
)
const findings: string[] = []

const isTest = (path: string): boolean =>
  /^(?:test|bench|tools)\/|\.(?:test|suite)\.ts$|(?:^|[./])fixture\.ts$/.test(path)
const product = [...sources.values()].filter(({ path }) => !isTest(path))
const lineOf = (text: string, at: number): number => text.slice(0, at).split('\n').length
const find = (rule: string, where: string, what: string): void => {
  if (!exceptions.some((e) => e.rule === rule && where.startsWith(e.where) && (!e.what || what.includes(e.what))))
    findings.push(`${where}: ${what}  [${rule}]`)
}
/** A rule over every import of the product: says what is wrong with it, or nothing. */
const eachImport = (rule: string, wrong: (path: string, used: Import) => string | false | undefined): void => {
  for (const { path, imports } of product)
    for (const used of imports) {
      const what = wrong(path, used)
      if (what) find(rule, path, what)
    }
}

// ── Who may know whom ────────────────────────────────────────────────────────────────────────────────────────────────

/** Imports go downward only. What is below can be read, tested and replaced without what is above. */
const layers: string[][] = [
  ['src/errors.ts', 'src/lib/'],
  ['src/spec/'],
  ['src/sys/'],
  ['src/engine/'],
  ['src/cluster/', 'src/build/'],
  ['src/compose/', 'src/clients/', 'src/instance.ts'],
  ['src/doors/cli/', 'src/doors/control/', 'src/doors/docker/', 'src/doors/kube/', 'src/doors/console/'],
  ['src/main.ts', 'src/daemon.ts', 'src/control-plane.ts', 'src/reset.ts'],
]
const placeOf = (path: string): { level: number; room: string } | undefined => {
  const level = layers.findIndex((rooms) => rooms.some((room) => path.startsWith(room)))
  return level < 0 ? undefined : { level, room: layers[level]!.find((room) => path.startsWith(room))! }
}
for (const { path } of product)
  if (!placeOf(path)) find('layers', path, 'stands in no layer; add its place to `layers`')

eachImport('layers', (path, { from }) => {
  const [here, there] = [placeOf(path), placeOf(from)]
  return here && there && here.level < there.level && `imports ${from}, which is above it`
})

/**
 * Rooms of one layer do not know each other: a door that leans on another door cannot be taken out, and what cluster and
 * build share belongs into the engine below them. The ground floor (errors, lib) and the roof are one room each.
 */
eachImport('neighbours', (path, { from }) => {
  const [here, there] = [placeOf(path), placeOf(from)]
  if (!here || here.level !== there?.level || here.level === 0 || here.level === layers.length - 1) return
  return here.room !== there.room && `imports ${from}, a room of the same layer`
})

/** Only the kubelet touches containers: controllers then run against any cluster, and in tests without an engine. */
eachImport('engine-by-kubelet', (path, { from }) =>
  path.startsWith('src/cluster/') && !path.startsWith('src/cluster/kubelet/') && from.startsWith('src/engine/')
    ? `imports ${from}`
    : undefined,
)

/** Of the cluster only what works on this host knows the operating system, and only by its ports. */
eachImport('sys-by-node', (path, { from }) =>
  path.startsWith('src/cluster/') &&
  from.startsWith('src/sys/') &&
  !/^src\/cluster\/(?:kubelet|proxy|dns|ingress)\//.test(path)
    ? `imports ${from}`
    : undefined,
)

/** The API server is the store's only writer, so nothing passes by defaulting, validation and admission. */
eachImport('store-by-api', (path, { from }) =>
  from.startsWith('src/cluster/store/') && !/^src\/cluster\/(?:api|store)\//.test(path) ? `imports ${from}` : undefined,
)

/** Everything asks the operating system through the ports of sys.ts; only the wiring picks the body. */
eachImport('sys-bodies', (path, { from }) =>
  /^src\/sys\/(?:linux|fake)\//.test(from) && !/^src\/(?:main|daemon|reset)\.ts$|^src\/sys\/(?:linux|fake)\//.test(path)
    ? `imports ${from}; take the port from sys.ts`
    : undefined,
)

/** Processes are started in one place, which knows about sessions, signals and pipes. */
eachImport('child-processes', (path, { from }) =>
  /^(?:node:)?child_process$/.test(from) && !path.startsWith('src/sys/') ? `imports ${from}` : undefined,
)

/** The product does not lean on its tests. */
eachImport('no-tests-inside', (path, { from }) =>
  isTest(from) && sources.has(from) ? `${path} imports ${from}` : undefined,
)

/**
 * A folder with an index.ts is a room: it is entered through index.ts, or types.ts for its contract, and may change
 * everything else. A folder without one is a shelf (spec/kube, lib/http): its files are taken one by one.
 */
const rooms = [...sources.keys()].filter((p) => /^src\/.*\/index\.ts$/.test(p)).map(dirname)
for (const { path, imports } of sources.values())
  for (const { from } of imports)
    for (const room of rooms) {
      if (!from.startsWith(`${room}/`) || path.startsWith(`${room}/`)) continue
      // Tests of an inner room come in by that room's own index.
      if (isTest(path) ? /\/(?:index|types)\.ts$/.test(from) : [`${room}/index.ts`, `${room}/types.ts`].includes(from))
        continue
      find('rooms', path, `imports ${from}; ${room} is entered through its index.ts or types.ts`)
    }

// ── What lies around ─────────────────────────────────────────────────────────────────────────────────────────────────

/** What is exported is a promise; what nobody imports should not promise anything. */
const used = new Set<string>()
const use = (path: string, name: string): void => {
  const source = sources.get(path)
  if (!source || used.has(`${path} ${name}`)) return
  used.add(`${path} ${name}`)
  const own = source.exports.filter((e) => e.name === name)
  const ways = own.length ? own : source.exports.filter((e) => e.name === '*')
  for (const { forwards } of ways) if (forwards) use(forwards.from, forwards.inner === '*' ? name : forwards.inner)
}
const offered = (path: string): string[] =>
  (sources.get(path)?.exports ?? []).flatMap((e) => (e.name === '*' ? offered(e.forwards!.from) : [e.name]))
const mentions = ({ code }: Source, { from, held }: Import): string[] => {
  // Held as a whole (`import * as kinds` and then `Object.values(kinds)`): all of it is used.
  if (held && new RegExp(`(?<!\\* as )\\b${held}\\b(?!\\s*[.'])`).test(code)) return offered(from)
  return offered(from).filter((name) => new RegExp(`\\b${name.replace(/\$/g, '\\$')}\\b`).test(code))
}
for (const source of sources.values())
  for (const taken of source.imports) {
    if (taken.reExport) continue
    const names = taken.names.flatMap((name) => (name === '*' ? mentions(source, taken) : [name]))
    for (const name of names) use(taken.from, name)
  }
/** Contracts and facts of the field are written down whole, also where we do not name each part. */
const isContract = (path: string): boolean =>
  /\/types\.ts$|^src\/(?:errors|sys\/sys)\.ts$|^src\/spec\/|^src\/doors\/docker\/(?:wire|buildkit\/messages)\.ts$/.test(
    path,
  )
/** A type that the file's other exports are made of may be named by whoever uses them. */
const isShape = ({ code }: Source, { name, isType }: Export): boolean =>
  isType && [...code.matchAll(new RegExp(`\\b${name}\\b`, 'g'))].length > 1
for (const source of sources.values())
  for (const exported of source.exports) {
    const { path } = source
    const { name } = exported
    if (name === '*' || used.has(`${path} ${name}`) || isContract(path) || isShape(source, exported)) continue
    find('dead-exports', path, `exports ${name}, which nobody imports`)
  }

/** A file nobody imports does not run. */
const imported = new Set([...sources.values()].flatMap(({ imports }) => imports.map(({ from }) => from)))
for (const { path } of product)
  if (!imported.has(path) && path !== 'src/main.ts') find('dead-files', path, 'is imported by nobody')

/** A test that does not run protects nothing, and nobody comes back to it. */
const notRun =
  /\b(?:test|it|describe|suite|t|context)\.(?:skip|only|todo)\b|\b(?:skip|only|todo)\s*:|\{\s*(?:skip|only)\b/g
for (const { path, code } of sources.values())
  if (/\.(?:test|suite)\.ts$/.test(path))
    for (const { index, 0: word } of code.matchAll(notRun))
      find('skipped-tests', `${path}:${lineOf(code, index)}`, word)

/** Notes to oneself belong into the issue list; here they only grow old. */
for (const { path, text } of sources.values())
  for (const { index, 0: word } of text.matchAll(/\b(?:TO[D]O|FIX[M]E|X{3}|HAC[K])\b/g))
    find('notes', `${path}:${lineOf(text, index)}`, word)

// ── Sizes ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What does not fit on a few screens is not read any more. The lists in exceptions.ts may only get shorter. */
const maxLines = { file: 500, function: 70 }
const generated = /^src\/spec\/kube\/generated\//
const ratchet = (kind: 'file' | 'function', known: Record<string, number>, sizes: Map<string, number>): void => {
  for (const [where, lines] of sizes) {
    const limit = known[where] ?? maxLines[kind]
    if (lines > limit) find('sizes', where, `${lines} lines in a ${kind}, ${limit} are the most`)
  }
  for (const where of Object.keys(known))
    if ((sizes.get(where) ?? 0) <= maxLines[kind]) find('sizes', where, 'is small enough now: take it off the list')
}
ratchet(
  'file',
  longFiles,
  new Map([...sources.values()].filter(({ path }) => !generated.test(path)).map(({ path, lines }) => [path, lines])),
)
const functions = new Map<string, number>()
for (const { path, code } of product)
  for (const { name, lines } of functionsIn(code))
    functions.set(`${path} ${name}`, Math.max(lines, functions.get(`${path} ${name}`) ?? 0))
ratchet('function', longFunctions, functions)

/** Deeper trees hide what belongs together. */
for (const { path } of sources.values())
  if (path.startsWith('src/') && path.split('/').length > 5)
    find('depth', path, 'lies more than three folders below src')

/** A name that fits everything says nothing; the field has words for its things. */
for (const { path } of sources.values())
  if (/^(?:utils?|helpers?|common|misc|manager)$/.test(basename(path).split('.')[0]!))
    find('names', path, 'says nothing')

// ── What the text must not say ───────────────────────────────────────────────────────────────────────────────────────

/** The tree describes the product: not how it came about, and not the machine it was made on. */
const workshop =
  /\b(?:A[I]|[Cc]l[a]ude\w*|[Aa]nthr[o]pic|[Cc]hat-?[Gg][Pp]T|[Oo]pen[Aa]I|[Cc]op[i]lot|[Cc]od[e]x|[Aa]ssis[t]ants?)\b|(?<![\w./])\/w[o]rk\/(?:m[a]in|sh[a]red|\.l[i]brary)/g
/**
 * Nothing is fetched from a host written down here without need: who mirrors or works offline would not find it.
 * docker.io is the name images have when none is given.
 */
const hosts =
  /\b[\w.-]*(?:npm[j]s\.(?:org|com)|yarn[p]kg\.com|deb[i]an\.(?:org|net)|ubun[t]u\.com|gh[c]r\.io|qu[a]y\.io|(?<!\w)g[c]r\.io|registry\.k[8]s\.io|mcr\.micro[s]oft\.com|publ[i]c\.ecr\.aws)\b/g
const isText = (path: string): boolean =>
  /\.(?:ts|js|mjs|json|md|ya?ml|sh|html|css|conf|txt|Dockerfile)$|^[^.]+$/.test(path)
for (const path of files.filter(isText)) {
  const text = sources.get(path)?.text ?? readFileSync(join(root, path), 'utf8')
  for (const { index, 0: word } of text.matchAll(workshop))
    find('workshop', path, `line ${lineOf(text, index)} says ${word}`)
  for (const { index, 0: host } of text.matchAll(hosts))
    find('hosts', path, `line ${lineOf(text, index)} names ${host}`)
}

for (const finding of findings.sort()) console.error(finding)
if (findings.length) console.error(`${findings.length} findings. The rules and their reasons: test/house-rules.ts`)
else console.log(`house rules: ${files.length} files, ${product.length} of the product, nothing to say`)
process.exitCode = findings.length ? 1 : 0
