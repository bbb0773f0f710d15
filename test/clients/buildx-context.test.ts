/** How files of the build context come over the session: only what is used, only what has changed. */
import assert from 'node:assert/strict'
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { shell, startBuildx } from './buildx-kit.ts'

const buildx = startBuildx()
after(() => buildx.stop())
const { ok, run, project } = buildx

/** Bytes that the client sent for the context, as it prints them. */
const sent = (text: string): string => /transferring context: (?:(\S+) )?(?:\S+ )?done/.exec(text)?.[1] ?? ''
const files = async (dir: string, paths = '.'): Promise<string> => {
  const out = join(dir, '..', 'out')
  rmSync(out, { recursive: true, force: true })
  await ok(['buildx', 'build', '-o', out, dir])
  return readdirSync(join(out, paths), { recursive: true }).map(String).sort().join(' ')
}

test('ten thousand files: once whole, then only what has changed', async () => {
  const dir = project('many', { Dockerfile: 'FROM scratch\nCOPY src /src\n' })
  for (let d = 0; d < 100; d++) {
    mkdirSync(join(dir, `src/${d}`), { recursive: true })
    for (let f = 0; f < 100; f++) writeFileSync(join(dir, `src/${d}/${f}`), `file ${f} of ${d}\n`)
  }
  await ok(['build', '-t', 'many', dir])
  const unchanged = await ok(['build', '-t', 'many', dir])
  assert.equal(sent(unchanged.all), '', 'an unchanged context sends nothing')
  assert.match(unchanged.all, /COPY src \/src\n#\d+ CACHED/)
  writeFileSync(join(dir, 'src/50/50'), 'changed')
  rmSync(join(dir, 'src/51'), { recursive: true })
  assert.equal(sent((await ok(['build', '-t', 'many', dir])).all), '7B')
  const seen = await files(dir, 'src')
  assert.ok(!seen.includes('51/1 ') && seen.includes('52/1 '))
})

test('only what COPY names is sent, and nothing of .dockerignore', async () => {
  const dir = project('part', {
    Dockerfile: 'FROM scratch\nCOPY used/*.txt /\nCOPY deep/**/x /deep/\n',
    '.dockerignore': 'used/secret.txt\n',
    'used/a.txt': 'aaaa',
    'used/secret.txt': 'secret',
    'used/b.bin': 'bbbb',
    'deep/one/x': 'x',
    'unused/large': 'x'.repeat(1_000_000),
  })
  assert.equal(await files(dir), 'a.txt deep deep/x')
  const kept = readdirSync(join(buildx.instance.home, 'lib/build')).filter((name) => name.startsWith('contexts-'))
  const names = kept.flatMap((name) =>
    readdirSync(join(buildx.instance.home, 'lib/build', name), { recursive: true }).map(String),
  )
  assert.ok(!names.some((name) => /large|secret/.test(name)), names.join(' '))
})

test("<Dockerfile>.dockerignore wins over the context's", async () => {
  const dir = project('ignores', {
    'other.Dockerfile': 'FROM scratch\nCOPY . /\n',
    'other.Dockerfile.dockerignore': 'b\nbusybox\n*Dockerfile*\n.dockerignore\n',
    '.dockerignore': 'a\n',
    a: '',
    b: '',
  })
  const out = join(dir, '../ignores-out')
  await ok(['buildx', 'build', '-f', join(dir, 'other.Dockerfile'), '-o', out, dir])
  assert.deepEqual(readdirSync(out), ['a'])
})

/** Of copies of contexts: what is said of each, and what is on the disk, where a file with two names is one. */
const keptBytes = ({ stdout }: { stdout: string }): string[] =>
  (JSON.parse(stdout) as { CacheType: string; Size: string }[])
    .filter(({ CacheType }) => CacheType === 'source.local')
    .map(({ Size }) => Size)
    .sort()
const keptOnDisk = (): string[] => {
  const base = join(buildx.instance.home, 'lib/build')
  const blocks = (name: string): number => {
    const found = new Map<bigint, number>()
    for (const path of readdirSync(join(base, name), { recursive: true })) {
      const stat = lstatSync(join(base, name, String(path)), { bigint: true })
      if (!stat.isDirectory()) found.set(stat.ino, Number(stat.blocks))
    }
    return [...found.values()].reduce((sum, each) => sum + each, 0) * 512
  }
  return readdirSync(base)
    .filter((name) => name.startsWith('contexts-'))
    .map((name) => units(blocks(name)))
    .sort()
}
/** As docker prints sizes. */
const units = (bytes: number): string => {
  const names = ['B', 'kB', 'MB', 'GB']
  let [value, at] = [bytes, 0]
  for (; value >= 1000; at++) value /= 1000
  return `${Number(value.toPrecision(3))}${names[at]}`
}

test('modes, times, links and names survive; what replaces a file is noticed', async () => {
  const dir = project('kinds', { Dockerfile: 'FROM scratch\nCOPY tree /\n', 'tree/file': 'data', 'tree/müß ig': 'x' })
  const tree = join(dir, 'tree')
  chmodSync(join(tree, 'file'), 0o750)
  utimesSync(join(tree, 'file'), 1_600_000_000, 1_600_000_000)
  symlinkSync('file', join(tree, 'link'))
  linkSync(join(tree, 'file'), join(tree, 'twin'))
  writeFileSync(join(tree, 'file'), 'x'.repeat(300_000))
  utimesSync(join(tree, 'file'), 1_600_000_000, 1_600_000_000)
  const out = join(dir, '../kinds-out')
  await ok(['buildx', 'build', '-o', out, dir])
  assert.deepEqual(readdirSync(out).sort(), ['file', 'link', 'müß ig', 'twin'])
  assert.deepEqual(keptBytes(await ok(['system', 'df', '-v', '--format', '{{json .BuildCache}}'])), keptOnDisk())
  const stat = statSync(join(out, 'file'))
  assert.equal(stat.mode & 0o7777, 0o750)
  assert.equal(stat.mtimeMs, 1_600_000_000_000)
  assert.equal(readlinkSync(join(out, 'link')), 'file')
  rmSync(join(tree, 'link'))
  mkdirSync(join(tree, 'link'))
  writeFileSync(join(tree, 'link/inside'), '')
  rmSync(join(tree, 'twin'))
  symlinkSync('nowhere', join(tree, 'twin'))
  rmSync(out, { recursive: true })
  await ok(['buildx', 'build', '-o', out, dir])
  assert.ok(lstatSync(join(out, 'link')).isDirectory())
  assert.equal(readlinkSync(join(out, 'twin')), 'nowhere')
})

test('every change of a context that was built before is seen', async () => {
  const dir = project('again', {
    Dockerfile: 'FROM scratch\nCOPY --exclude=Dockerfile . /\n',
    ...{ 'd/one': 'one', 'd/two': 'two', 'e/three': 'three', four: 'four' },
  })
  const out = join(dir, '../again-out')
  /** Kind, mode, content and second names of everything. */
  const tree = (root: string, without: string[] = []): string[] =>
    readdirSync(root, { recursive: true })
      .map(String)
      .filter((path) => !without.includes(path) && path !== 'Dockerfile' && path !== 'busybox')
      .sort()
      .map((path) => {
        const stat = lstatSync(join(root, path))
        const mode = stat.isSymbolicLink() ? '' : (stat.mode & 0o7777).toString(8)
        const what = stat.isFile() ? readFileSync(join(root, path), 'utf8') : ''
        return `${path} ${mode} ${stat.isSymbolicLink() ? readlinkSync(join(root, path)) : what}`
      })
  const same = async (what: string, without: string[] = [], ...flags: string[]): Promise<void> => {
    rmSync(out, { recursive: true, force: true })
    await ok(['buildx', 'build', ...flags, '-o', out, dir])
    assert.deepEqual(tree(out), tree(dir, without), what)
  }
  const past = 1_600_000_000
  const at = (path: string): string => join(dir, path)
  const changes: Record<string, () => void> = {
    'at first': () => {},
    'content of the same size': () => writeFileSync(at('d/one'), 'eno'),
    'an older time': () => {
      writeFileSync(at('d/two'), 'owt')
      utimesSync(at('d/two'), past, past)
    },
    'only a mode': () => chmodSync(at('four'), 0o600),
    'the mode of a directory': () => chmodSync(at('e'), 0o700),
    'a link to the same content': () => {
      rmSync(at('d/one'))
      writeFileSync(at('d/other'), 'eno')
      symlinkSync('other', at('d/one'))
    },
    'a second name': () => linkSync(at('four'), at('five')),
    'a change by the second name': () => writeFileSync(at('five'), 'FOUR'),
    'its own file again': () => {
      rmSync(at('five'))
      writeFileSync(at('five'), 'five')
    },
    'a directory that became a file': () => {
      rmSync(at('e'), { recursive: true })
      writeFileSync(at('e'), 'file')
    },
  }
  for (const [what, change] of Object.entries(changes)) {
    change()
    await same(what)
    // The step is performed again with what was kept.
    await same(`${what}, told again`, [], '--no-cache')
  }
  writeFileSync(at('.dockerignore'), 'five\n')
  await same('ignored', ['five'])
  writeFileSync(at('.dockerignore'), 'd/two\n')
  await same('ignored otherwise', ['d/two'])
  await same('ignored otherwise, told again', ['d/two'], '--no-cache')
})

test('a large file, and two builds of one directory at once', async () => {
  const dir = project('large', { Dockerfile: 'FROM scratch\nCOPY big /\nCOPY busybox /bin/busybox\n' })
  writeFileSync(join(dir, 'big'), Buffer.alloc(40 * 1024 * 1024, 'slipway'))
  writeFileSync(join(dir, 'empty'), '')
  const both = await Promise.all([run(['build', '-t', 'l1', dir]), run(['build', '-t', 'l2', dir])])
  for (const { code, all } of both) assert.equal(code, 0, all)
  const { stdout } = await ok(['run', '--rm', 'l2', '/bin/busybox', 'sha256sum', '/big'])
  const { createHash } = await import('node:crypto')
  const expected = createHash('sha256')
    .update(Buffer.alloc(40 * 1024 * 1024, 'slipway'))
    .digest('hex')
  assert.match(stdout, new RegExp(expected))
})

test('mounts of the context', async () => {
  await ok(['build', '-t', 'base', project('base', { Dockerfile: shell })])
  const dir = project('mounts', {
    Dockerfile: 'FROM base\nRUN --mount=type=bind,source=sub,target=/mnt cat /mnt/f > /f\n',
    'sub/f': 'mounted\n',
  })
  await ok(['build', '-t', 'mounts', dir])
  assert.equal((await ok(['run', '--rm', 'mounts', 'cat', '/f'])).stdout, 'mounted\n')
})

test('an OCI layout as a named context', async () => {
  const layout = join(buildx.dir, 'base-layout')
  await ok([
    'buildx',
    'build',
    '-o',
    `type=oci,dest=${layout},tar=false`,
    project('for-layout', { Dockerfile: 'FROM base\nRUN echo laid out > /out\n' }),
  ])
  const before = (await ok(['images', '-aq'])).stdout
  const on = project('on-layout', { Dockerfile: 'FROM other\nCOPY --from=other /out /copied\nRUN cat /out /copied\n' })
  const { all } = await ok([
    'buildx',
    'build',
    '-o',
    `type=oci,dest=${join(buildx.dir, 'on-layout-out')},tar=false`,
    '--provenance=true',
    '--build-context',
    `other=oci-layout://${layout}`,
    on,
  ])
  assert.match(all, /laid out\n.* laid out/)
  const { manifests } = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8'))
  const blobs = join(buildx.dir, 'on-layout-out/blobs/sha256')
  const told = readdirSync(blobs).map((name) => readFileSync(join(blobs, name), 'latin1'))
  const uri = `"uri":"pkg:oci/other?digest=${manifests[0].digest}&platform=linux%2Famd64"`
  assert.ok(
    told.some((text) => text.includes(uri)),
    uri,
  )
  assert.equal((await ok(['images', '-aq'])).stdout, before)
  const same = project('on-layout-alone', { Dockerfile: 'FROM other\n' })
  await ok(['buildx', 'build', '-t', 'same:1', '--build-context', `other=oci-layout://${layout}`, same])
  assert.match(
    (await ok(['image', 'inspect', 'same:1', '-f', '{{.RepoTags}}'])).stdout,
    /same:1/,
    'the very same image',
  )
  const scratch = project('scratch', { Dockerfile: 'FROM base\nCOPY text /text\n', text: '' })
  await ok(['buildx', 'build', '-t', 'empty', '--build-context', 'base=docker-image://scratch', scratch])
  assert.equal((await ok(['image', 'inspect', 'empty', '-f', '{{len .RootFS.Layers}}'])).stdout.trim(), '1')
})
