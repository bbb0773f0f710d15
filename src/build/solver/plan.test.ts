import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CopyOp, RunOp } from '../ops.ts'
import { historyOf, opsOf, plan } from './plan.fixture.ts'

const runs = async (text: string, options = {}): Promise<RunOp[]> =>
  opsOf((await plan(text, options)).rootfs).flatMap(({ op }) => (op.kind === 'run' ? [op] : []))
const env = async (text: string, options = {}): Promise<Record<string, string>> => {
  const last = (await runs(text, options)).at(-1)!
  return Object.fromEntries(last.env.map((entry) => [entry.split('=', 1)[0], entry.slice(entry.indexOf('=') + 1)]))
}

test('ENV: all words of a line see what was before it; quotes go; the image keeps it', async () => {
  const { config } = await plan('FROM scratch\nENV abc=hello\nENV abc=bye def=$abc\nENV ghi="$abc  x" q=\'$abc\'')
  assert.deepEqual(config.Env?.slice(1), ['abc=bye', 'def=hello', 'ghi=bye  x', 'q=$abc'])
  const legacy = await plan('FROM scratch\nENV ONE TWO= THREE=world')
  assert.deepEqual(legacy.config.Env?.slice(1), ['ONE=TWO= THREE=world'])
})

test('ARG: default, --build-arg, global import, several in a line', async () => {
  assert.equal((await env('FROM a\nARG X=1\nRUN x')).X, '1')
  assert.equal((await env('FROM a\nARG X=1\nRUN x', { args: { X: '2' } })).X, '2')
  assert.equal((await env('ARG X=g\nFROM a\nRUN x')).X, undefined, 'a global one is not in the stage')
  assert.equal((await env('ARG X=g\nFROM a\nARG X\nRUN x')).X, 'g')
  assert.equal((await env('ARG X=g\nFROM a\nARG X=own\nRUN x')).X, 'own')
  assert.equal((await env('FROM a\nARG X\nRUN x')).X, undefined)
  const several = await env('FROM a\nARG A=1 B=2 C=$A\nRUN x')
  assert.deepEqual([several.A, several.B, several.C], ['1', '2', '1'], 'the later ones see the earlier ones')
  assert.equal((await env('FROM a\nRUN x\n', { args: { X: '2' } })).X, undefined, 'an undeclared one is not passed')
})

test('variables that double theirs come to an end', async () => {
  const doubling = (name: string): string => `${name} a=xxxxxxxxxx\n${`${name} a=$a$a\n`.repeat(40)}`
  const refused = /variables expand to more than 64MiB/
  await assert.rejects(plan(`FROM a\n${doubling('ENV')}RUN x`), refused)
  await assert.rejects(plan(`FROM a\n${doubling('ARG')}RUN x`), refused)
  await assert.rejects(plan(`${doubling('ARG')}FROM a`), refused)
  const line = Array.from({ length: 40 }, (_, i) => ` a${i + 1}=$a${i}$a${i}`).join('')
  await assert.rejects(plan(`FROM a\nARG a0=xxxxxxxxxx${line}`), refused)
  assert.equal((await env(`FROM a\nENV a=${'x'.repeat(100_000)}\nENV a=$a$a\nRUN x`)).a?.length, 200_000)
})

test('an ENV beats the ARG before it; an ARG after it wins, also over the base image', async () => {
  assert.equal((await env('FROM a\nARG X=arg\nENV X=env\nRUN x', { args: { X: 'given' } })).X, 'env')
  assert.equal((await env('FROM a\nENV X=env\nARG X=arg\nRUN x')).X, 'arg')
  assert.equal((await env('FROM a\nARG X=arg\nRUN x', { images: { a: { Env: ['X=base'] } } })).X, 'arg')
  assert.equal((await env('FROM a\nARG X\nRUN x', { images: { a: { Env: ['X=base'] } } })).X, 'base')
})

test('FROM stage inherits ENV and ARG, FROM image does not inherit ARG', async () => {
  assert.equal((await env('FROM a AS b\nARG X=1\nFROM b\nRUN x')).X, '1')
  assert.equal((await env('FROM a AS b\nARG X=1\nFROM c\nRUN x')).X, undefined)
})

test('platform arguments are global', async () => {
  const text =
    'FROM --platform=$BUILDPLATFORM a AS build-$\nFROM a\nARG TARGETOS TARGETARCH TARGETVARIANT TARGETSTAGE\nRUN x'
  const seen = await env(text.replace('build-$', 'b'), { platform: 'linux/arm/v7' })
  assert.deepEqual(
    [seen.TARGETOS, seen.TARGETARCH, seen.TARGETVARIANT, seen.TARGETSTAGE],
    ['linux', 'arm', 'v7', 'default'],
  )
  assert.equal((await env('FROM a\nRUN x')).TARGETARCH, undefined, 'not without ARG')
  assert.deepEqual((await plan('FROM --platform=$BUILDPLATFORM a', { platform: 'linux/arm64' })).asked, [
    'a linux/amd64',
  ])
})

test('FROM: global ARGs, stages before images, named contexts before both, only what is needed', async () => {
  assert.deepEqual((await plan('ARG V=1\nARG I=a:$V\nFROM $I')).asked, ['a:1 linux/amd64'])
  assert.deepEqual((await plan('ARG V=1\nFROM a:${V}-x', { args: { V: '2' } })).asked, ['a:2-x linux/amd64'])
  assert.deepEqual((await plan('FROM a AS b\nFROM unused\nFROM b')).asked, ['a linux/amd64'])
  assert.deepEqual((await plan('FROM a AS one\nFROM c AS two', { target: 'one' })).asked, ['a linux/amd64'])
  assert.deepEqual((await plan('FROM a AS one\nFROM c AS two', { target: '0' })).asked, ['a linux/amd64'])
  assert.deepEqual((await plan('FROM a AS b\nFROM b', { contexts: { b: { image: 'other' } } })).asked, [
    'other linux/amd64',
  ])
  assert.deepEqual((await plan('FROM a', { contexts: { a: { image: 'z' } } })).asked, ['z linux/amd64'])
  assert.deepEqual((await plan('FROM a AS b\nFROM x\nCOPY --from=b . .\nCOPY --from=img . .')).asked.sort(), [
    'a linux/amd64',
    'img linux/amd64',
    'x linux/amd64',
  ])
  assert.deepEqual((await plan('FROM scratch\nCOPY a /')).asked, [])
})

test('an image that cannot be had may be a mistyped stage or a usual image', async () => {
  const told = async (text: string, missing: string): Promise<string> => {
    const error = await plan(text, { missing: [missing] }).catch((caught: Error) => caught)
    return (error as Error).message
  }
  assert.match(await told('FROM alpin', 'alpin'), /^alpin: not found \(did you mean alpine\?\)$/)
  assert.match(await told('FROM a AS buildr\nFROM builder', 'builder'), /\(did you mean buildr\?\)$/)
  assert.match(await told('FROM a AS buildr\nFROM b\nCOPY --from=builder . .', 'builder'), /\(did you mean buildr\?\)$/)
  assert.equal(await told('FROM alpine', 'alpine'), 'alpine: not found')
  assert.equal(await told('FROM something', 'something'), 'something: not found')
})

test('errors of stages', async () => {
  await assert.rejects(
    plan('FROM a AS build', { target: 'biuld' }),
    /target stage "biuld" could not be found \(did you mean build\?\)/,
  )
  await assert.rejects(
    plan('FROM a\nCOPY --from=late . .\nFROM b AS late\nFROM c\nCOPY --from=0 . .'),
    /cannot copy from stage "late", it needs to be defined before current stage "stage-0"/,
  )
  await assert.rejects(plan('FROM a AS me\nCOPY --from=me . .'), /circular dependency detected on stage: me/)
  await assert.rejects(
    plan('FROM a AS one\nCOPY --from=three . .\nFROM one AS two\nFROM b AS three\nCOPY --from=two . .'),
    /circular dependency detected on stage: one/,
  )
  // On 2 to the power of 60 ways from the last one to the first, and on none around.
  const many = Array.from({ length: 60 }, (_, i) => `FROM s${i} AS s${i + 1}\nCOPY --from=s${i} . .`).join('\n')
  await assert.rejects(
    plan(`FROM a AS s0\n${many}\nCOPY --from=late . .\nFROM b AS late`, { target: 's60' }),
    /cannot copy from stage "late", it needs to be defined before current stage "s60"/,
  )
  await assert.rejects(plan('FROM a\nCOPY --from=7 . .'), /invalid stage index 7/)
  await assert.rejects(plan('FROM $X'), /base name \(\$X\) should not be blank/)
  await assert.rejects(plan('FROM --platform=$X a'), /empty platform value from expression \$X/)
})

test('WORKDIR chains, and follows the base image; its owner is the user', async () => {
  const ops = opsOf(
    (
      await plan('FROM a\nUSER app\nWORKDIR x\nWORKDIR /y\nWORKDIR z\nWORKDIR ../w', {
        images: { a: { WorkingDir: '/base' } },
      })
    ).rootfs,
  )
  assert.deepEqual(
    ops.map(({ op }) => op),
    ['/base/x', '/y', '/y/z', '/y/w'].map((path) => ({ kind: 'mkdir', path, owner: 'app' })),
  )
  assert.deepEqual(opsOf((await plan('FROM a\nWORKDIR /')).rootfs), [])
})

test('ENTRYPOINT clears the CMD of the base, but not one of the same stage', async () => {
  const images = { a: { Cmd: ['base'], Entrypoint: ['e'] } }
  assert.equal((await plan('FROM a\nENTRYPOINT ["x"]', { images })).config.Cmd, undefined)
  assert.deepEqual((await plan('FROM a\nCMD ["y"]\nENTRYPOINT ["x"]', { images })).config.Cmd, ['y'])
  assert.deepEqual((await plan('FROM a\nCMD ["y"]', { images })).config.Entrypoint, ['e'])
  assert.equal((await plan('FROM a AS s\nCMD ["y"]\nFROM s\nENTRYPOINT ["x"]', { images })).config.Cmd, undefined)
})

test('shell and exec form; SHELL', async () => {
  const { config } = await plan('FROM a\nSHELL ["/bin/bash", "-c"]\nCMD echo $HOME\nENTRYPOINT ["/x", "$y"]')
  assert.deepEqual(config.Cmd, ['/bin/bash', '-c', 'echo $HOME'])
  assert.deepEqual(config.Entrypoint, ['/x', '$y'])
  assert.deepEqual((await runs('FROM a\nRUN ["echo", "$x"]'))[0]!.args, ['echo', '$x'])
  assert.deepEqual((await runs("FROM a\nRUN ['single']"))[0]!.args, ['/bin/sh', '-c', "['single']"])
  assert.deepEqual((await runs('FROM a\nRUN [ -f x ] && y'))[0]!.args, ['/bin/sh', '-c', '[ -f x ] && y'])
  assert.deepEqual((await runs('FROM a\nRUN ["a"] more'))[0]!.args, ['/bin/sh', '-c', '["a"] more'])
})

test('here-documents of RUN', async () => {
  assert.deepEqual((await runs('FROM a\nRUN <<EOF\necho $x\nEOF'))[0]!.args, ['/bin/sh', '-c', 'echo $x\n'])
  assert.deepEqual((await runs('FROM a\nRUN <<-EOF\n\techo\n\tEOF'))[0]!.args, ['/bin/sh', '-c', 'echo\n'])
  const [script] = await runs('FROM a\nRUN <<EOF\n#!/usr/bin/env python\nprint()\nEOF')
  assert.deepEqual(script!.args, ['/dev/pipes/EOF'])
  assert.deepEqual(script!.document, { name: 'EOF', data: '#!/usr/bin/env python\nprint()\n' })
  assert.deepEqual((await runs('FROM a\nRUN cat <<A && cat <<B\n1\nA\n2\nB'))[0]!.args, [
    '/bin/sh',
    '-c',
    'cat <<A && cat <<B\n1\nA\n2\nB',
  ])
})

test('COPY: destination, flags, here-documents', async () => {
  const copies = async (text: string, options = {}): Promise<CopyOp[]> =>
    opsOf((await plan(text, options)).rootfs).flatMap(({ op }) => (op.kind === 'copy' ? [op] : []))
  const dest = async (text: string): Promise<string> => (await copies(`FROM a\nWORKDIR /w\n${text}`))[0]!.dest
  assert.equal(await dest('COPY a b'), '/w/b')
  assert.equal(await dest('COPY a .'), '/w/')
  assert.equal(await dest('COPY a b/'), '/w/b/')
  assert.equal(await dest('COPY a /'), '/')
  assert.equal(await dest('COPY a ..'), '/')
  assert.equal(await dest('COPY ["a b", "c d/"]'), '/w/c d/')
  const [flags] = await copies(
    'FROM a\nARG U=app\nCOPY --chown=$U:$U --chmod=0755 --exclude=*.md --parents ../x/./y z/',
  )
  assert.deepEqual(
    [flags!.chown, flags!.chmod, flags!.exclude, flags!.parents, flags!.sources],
    ['app:app', '0755', ['*.md'], true, [{ kind: 'path', path: '/x/y', pivot: '/x', unpack: false }]],
  )
  const [document] = await copies('FROM a\nARG v=1\nCOPY <<x <<"y" /d/\n$v "$v" \\$v\nx\n$v\ny')
  assert.deepEqual(document!.sources, [
    { kind: 'inline', name: 'x', data: '1 "1" $v\n' },
    { kind: 'inline', name: 'y', data: '$v\n' },
  ])
  await assert.rejects(copies('FROM a\nCOPY --chmod=999 a b'), /invalid chmod parameter: '999'/)
  await assert.rejects(copies('FROM a\nCOPY http://x/y z'), /source can't be a URL for COPY/)
})

test('ADD: URLs, checksums, git', async () => {
  const sources = async (text: string) => (opsOf((await plan(`FROM a\n${text}`)).rootfs)[0]!.op as CopyOp).sources
  assert.deepEqual(await sources('ADD https://x.test/a/b.tgz /d/'), [
    { kind: 'url', url: 'https://x.test/a/b.tgz', name: 'b.tgz', unpack: false, checksum: undefined },
  ])
  assert.deepEqual(await sources('ADD a.tar /d/'), [{ kind: 'path', path: '/a.tar', unpack: true }])
  assert.deepEqual(await sources('ADD --unpack=false a.tar /d/'), [{ kind: 'path', path: '/a.tar', unpack: false }])
  const sum = `sha256:${'0'.repeat(64)}`
  assert.equal(((await sources(`ADD --checksum=${sum} http://x.test/a /d/`))[0] as { checksum: string }).checksum, sum)
  await assert.rejects(sources(`ADD --checksum=${sum} a /d/`), /checksum requires HTTP/)
  await assert.rejects(sources('ADD --checksum=sha256:1 http://x.test/a /d/'), /invalid checksum digest length/)
  await assert.rejects(
    sources(`ADD --checksum=${'0'.repeat(64)} http://x.test/a /d/`),
    /invalid checksum digest format/,
  )
  await assert.rejects(sources('ADD --checksum=md5:00 http://x.test/a /d/'), /unsupported digest algorithm/)
  assert.deepEqual(await sources('ADD --checksum=0123abc https://x.test/r.git#main /d'), [
    {
      kind: 'url',
      url: 'https://x.test/r.git#main',
      name: 'repository.tar',
      unpack: true,
      checksum: '0123abc',
      git: true,
    },
  ])
  assert.deepEqual(await sources('ADD --keep-git-dir git@x.test:r.git /d'), [
    {
      kind: 'url',
      url: 'git@x.test:r.git',
      name: 'repository.tar',
      unpack: true,
      checksum: undefined,
      git: true,
      keepGitDir: true,
    },
  ])
  const isGit = async (text: string) => (await sources(text)).map((source) => source.kind === 'url' && source.git)
  assert.deepEqual(await isGit('ADD --keep-git-dir=false https://x.test/~me/r#main /d'), [true])
  assert.deepEqual(await isGit('ADD https://x.test/~me/r /d'), [undefined])
  await assert.rejects(
    sources('ADD --keep-git-dir https://x.test/r.git?keep-git-dir=false /d'),
    /inconsistent keep-git-dir configuration/,
  )
  await assert.rejects(
    sources('ADD --checksum=0123abc https://x.test/r.git?commit=4567def /d'),
    /checksum mismatch "0123abc" != "4567def"/,
  )
  await assert.rejects(
    sources('ADD --checksum=main git@x.test:r.git /d'),
    /invalid checksum "main": expected hex commit hash/,
  )
})

test('RUN --mount', async () => {
  const mounts = async (text: string) =>
    (await runs(`FROM a AS s\nFROM a\nWORKDIR /w\nARG id=k\nRUN ${text} x`))[0]!.mounts
  assert.deepEqual(await mounts('--mount=type=cache,target=/c'), [
    {
      type: 'cache',
      id: '/c',
      from: undefined,
      source: '/',
      target: '/c',
      readOnly: false,
      sharing: 'shared',
      mode: undefined,
      uid: undefined,
      gid: undefined,
    },
  ])
  assert.deepEqual(await mounts('--mount=type=cache,id=$id,target=c,sharing=locked,mode=0700,uid=5,gid=6'), [
    {
      type: 'cache',
      id: 'k',
      from: undefined,
      source: '/',
      target: '/w/c',
      readOnly: false,
      sharing: 'locked',
      mode: 0o700,
      uid: 5,
      gid: 6,
    },
  ])
  assert.deepEqual(await mounts('--mount=from=s,source=x/../y,target=/t,rw'), [
    { type: 'bind', from: { kind: 'named', name: 's' }, source: '/y', target: '/t', readOnly: false },
  ])
  assert.deepEqual(await mounts('--mount=target=.'), [
    { type: 'bind', from: { kind: 'context' }, source: '/', target: '/w', readOnly: true },
  ])
  assert.deepEqual(await mounts('--mount=type=tmpfs,target=/t,size=10m'), [
    { type: 'tmpfs', target: '/t', size: 10 << 20 },
  ])
  assert.deepEqual(await mounts('--mount=type=secret,id=token'), [
    {
      type: 'secret',
      id: 'token',
      target: '/run/secrets/token',
      env: undefined,
      required: false,
      mode: 0o400,
      uid: 0,
      gid: 0,
    },
  ])
  assert.deepEqual(await mounts('--mount=type=secret,id=token,env=TOKEN,required'), [
    { type: 'secret', id: 'token', target: undefined, env: 'TOKEN', required: true, mode: 0o400, uid: 0, gid: 0 },
  ])
  const called = async (text: string) => (await mounts(text)).map((mount) => 'env' in mount && mount.env)
  assert.deepEqual(await called('--mount=type=secret,id=token,env= --mount=target=/c,env=X'), ['token', false])
  const agent = { type: 'ssh', required: false, mode: 0o600, uid: 0, gid: 0 }
  assert.deepEqual(await mounts('--mount=type=ssh,required --mount=type=ssh,id=b,uid=1,gid=2,mode=640'), [
    { ...agent, id: 'default', target: '/run/buildkit/ssh_agent.0', required: true },
    { ...agent, id: 'b', target: '/run/buildkit/ssh_agent.1', mode: 0o640, uid: 1, gid: 2 },
  ])
  const secret = await plan('FROM a\nENV A=1 B=2\nRUN --mount=type=secret,id=t,env=A x $A $B')
  assert.equal(opsOf(secret.rootfs)[0]!.vertex.name, '[2/2] RUN --mount=type=secret,id=t,env=A x **** 2')
  const refused: [string, RegExp][] = [
    ['--mount=type=cach,target=/c', /unsupported mount type "cach" \(did you mean cache\?\)/],
    ['--mount=type=bind,target=/c,mode=1', /mode not allowed for "bind" type mounts/],
    ['--mount=targe=/c', /unexpected key 'targe' in 'targe=\/c' \(did you mean target\?\)/],
    ['--mount=type=bind,target=/c,size=1', /unexpected key 'size' for mount type 'bind'/],
    ['--mount=type=bind,target=/', /invalid mount target "\/"/],
    ['--mount=type=secret', /invalid secret mount/],
    ['--mount=type=cache,target=/c,sharing=mine', /unsupported sharing value "mine"/],
    ['--mount=type=bind,target=/c,what', /invalid field 'what' must be a key=value pair/],
    ['--mount=type=bind,target=/c,ro=perhaps', /invalid value for ro: perhaps/],
  ]
  for (const [text, expected] of refused) await assert.rejects(mounts(text), expected, text)
})

test('mounts of every RUN', async () => {
  const mounts = async (text: string, ...automounts: string[]) =>
    opsOf((await plan(text, { automounts })).rootfs).map(({ op }) =>
      (op as RunOp).mounts.map((mount) => `${mount.type} ${'target' in mount ? mount.target : ''}`),
    )
  const given = ['type=tmpfs,target=/t', 'type=bind,source=.,target=/context']
  assert.deepEqual(await mounts('FROM a AS b\nRUN x\nFROM b\nRUN --mount=type=cache,target=/c y', ...given), [
    ['tmpfs /t', 'bind /context'],
    ['tmpfs /t', 'bind /context', 'cache /c'],
  ])
  await assert.rejects(
    mounts('FROM a\nRUN x', 'type=bind,from=b,target=/d'),
    /automount does not support 'from' option/,
  )
  await assert.rejects(mounts('FROM a\nRUN x', 'invalid'), /failed to parse automount invalid: invalid field 'invalid'/)
})

test('EXPOSE, VOLUME, USER, STOPSIGNAL, HEALTHCHECK, LABEL, MAINTAINER', async () => {
  const { config, author } = await plan(
    'FROM a\nARG p=80\nEXPOSE $p 1000-1002/udp 53/UDP\nVOLUME /a $p\nVOLUME ["/b c"]\nUSER $p\nSTOPSIGNAL SIGRTMIN+3\nLABEL a=b "c d"="e f"\nMAINTAINER me <a@b>\nHEALTHCHECK --interval=1m30s --retries=0 CMD a b',
  )
  assert.deepEqual(Object.keys(config.ExposedPorts!), ['80/tcp', '1000/udp', '1001/udp', '1002/udp', '53/udp'])
  assert.deepEqual(Object.keys(config.Volumes!).sort(), ['/a', '/b c', '80'])
  assert.equal(config.User, '80')
  assert.equal(config.StopSignal, 'SIGRTMIN+3')
  assert.deepEqual(config.Labels, { a: 'b', 'c d': 'e f' })
  assert.equal(author, 'me <a@b>')
  assert.deepEqual(config.Healthcheck, { Test: ['CMD-SHELL', 'a b'], Interval: 90e9 })
  assert.deepEqual((await plan('FROM a\nHEALTHCHECK NONE')).config.Healthcheck, { Test: ['NONE'] })
  await assert.rejects(plan('FROM a\nSTOPSIGNAL SIGNOPE'), /invalid signal: SIGNOPE/)
  for (const [port, expected] of [
    ['x', /invalid containerPort: x/],
    ['80/icmp', /invalid proto: icmp/],
    ['70000', /invalid containerPort/],
    ['5-3', /invalid containerPort/],
  ] as const)
    await assert.rejects(plan(`FROM a\nEXPOSE ${port}`), expected)
})

test('a build may leave ONBUILD triggers out', async () => {
  const off = { args: { BUILDKIT_DISABLE_ONBUILD: '1' }, images: { a: { OnBuild: ['RUN trigger'] } } }
  const { rootfs, config } = await plan('FROM a AS b\nONBUILD RUN other\nFROM b\nRUN after', off)
  assert.deepEqual(
    opsOf(rootfs).map(({ vertex }) => vertex.name),
    ['[stage-1 1/1] RUN after'],
  )
  assert.equal(config.OnBuild, undefined)
  await assert.rejects(plan('FROM a', { args: { BUILDKIT_DISABLE_ONBUILD: 'maybe' } }), { message: /non-bool value/ })
})

test('ONBUILD runs once, right after FROM, in the next build and in FROM stage', async () => {
  const images = { a: { OnBuild: ['ENV x=1', 'RUN echo $x'] } }
  const built = await plan('FROM a\nRUN own', { images })
  assert.deepEqual(
    opsOf(built.rootfs).map(({ op }) => (op as RunOp).args[2]),
    ['echo $x', 'own'],
  )
  assert.equal(opsOf(built.rootfs)[0]!.vertex.name, '[2/3] ONBUILD RUN echo 1')
  assert.equal(built.config.OnBuild, undefined)
  const stage = await plan('FROM a AS b\nONBUILD RUN trigger\nFROM b\nRUN after')
  assert.deepEqual(
    opsOf(stage.rootfs).map(({ op }) => (op as RunOp).args[2]),
    ['trigger', 'after'],
  )
  assert.deepEqual((await plan('FROM a\nONBUILD COPY . /x')).config.OnBuild, ['COPY . /x'])
  const copies = await plan('FROM a AS src\nFROM b', { images: { b: { OnBuild: ['COPY --from=src /x /y'] } } })
  assert.equal(opsOf(copies.rootfs).length, 1)
})

test("history in docker's words", async () => {
  const text =
    'FROM a\nARG V=1\nENV A=b c="d e"\nRUN echo $V\nCOPY --chown=1 x y /z/\nWORKDIR /w\nCMD ["a", "b c"]\nEXPOSE 80\nVOLUME /v\nUSER u\nSHELL ["/bin/x", "-c"]\nONBUILD RUN x\nHEALTHCHECK --interval=90s --retries=3 CMD x "y"\nHEALTHCHECK NONE\nCMD ["\\u001b\\u007f\\\\u001b"]\nWORKDIR /'
  assert.deepEqual(historyOf(await plan(text)), [
    '* base',
    '  ARG V=1',
    '  ENV A=b c=d e',
    '* RUN |1 V=1 /bin/sh -c echo $V # buildkit',
    '* COPY --chown=1 x y /z/ # buildkit',
    '* WORKDIR /w',
    '  CMD ["a" "b c"]',
    '  EXPOSE [80/tcp]',
    '  VOLUME [/v]',
    '  USER u',
    '  SHELL [/bin/x -c]',
    `  HEALTHCHECK &{["CMD-SHELL" "x \\"y\\""] "1m30s" "0s" "0s" "0s" '\\x03'}`,
    `  HEALTHCHECK &{["NONE"] "0s" "0s" "0s" "0s" '\\x00'}`,
    '  CMD ["\\x1b\\x7f\\\\u001b"]',
    '  WORKDIR /',
  ])
})

test('names of steps', async () => {
  const names = async (text: string): Promise<string[]> =>
    opsOf((await plan(text)).rootfs).map(({ vertex }) => vertex.name)
  assert.deepEqual(await names('FROM a\nENV x=1\nRUN echo $x "$y"\nCOPY $x b'), [
    '[2/3] RUN echo 1 "$y"',
    '[3/3] COPY 1 b',
  ])
  assert.deepEqual(await names('FROM a AS web\nRUN x\nFROM scratch\nCOPY --from=web . .'), [
    '[stage-1 1/1] COPY --from=web . .',
  ])
  assert.deepEqual(await names('FROM a\nCOPY --from=img . .'), ['[stage-0 2/2] COPY --from=img . .'])
  assert.deepEqual((await names(`FROM a\n${'RUN x\n'.repeat(10)}`))[0], '[ 2/11] RUN x')
  assert.deepEqual(await names('FROM a\nRUN <<EOF\necho hi\nEOF'), ['[2/2] RUN <<EOF (echo hi)'])
  assert.deepEqual(await names('FROM a\nRUN <<EOF\n\n  echo hi\necho ho\nEOF'), ['[2/2] RUN <<EOF (echo hi...)'])
})

test('what scanners are to see besides the result', async () => {
  const extras = async (text: string, args: Record<string, string> = {}): Promise<string[]> =>
    (await plan(text, { args })).extras.map(({ name }) => name)
  const stages = (one = '', two = '', last = '') =>
    `FROM a AS one\n${one}\nFROM a AS two\n${two}\nFROM a AS other\nFROM one\n${last}\nCOPY --from=two / /x`
  assert.deepEqual(await extras(stages()), [])
  const stage = 'ARG BUILDKIT_SBOM_SCAN_STAGE'
  assert.deepEqual(await extras(`${stage}=true\n${stages()}`), ['one', 'two'])
  assert.deepEqual(await extras(`${stage}=true\n${stages('', `${stage}=false`)}`), ['one'])
  assert.deepEqual(await extras(stages('', `${stage}=true`)), ['two'])
  assert.deepEqual(await extras(`${stage}\n${stages()}`, { BUILDKIT_SBOM_SCAN_STAGE: 'two,other' }), ['two'])
  assert.deepEqual(await extras(stages(), { BUILDKIT_SBOM_SCAN_STAGE: 'true' }), [])
  const context = 'ARG BUILDKIT_SBOM_SCAN_CONTEXT=1'
  assert.deepEqual(await extras(stages('', context)), [])
  // What a stage declares holds for those that are built on it.
  assert.deepEqual(await extras(stages(context)), ['context'])
  assert.deepEqual(await extras(`${context}\n${stages('', `${stage}=t`)}`), ['two', 'context'])
  const { rootfs, history } = await plan(`FROM a\n${context}\nRUN x`)
  assert.ok(!(opsOf(rootfs)[0]!.op as RunOp).env.some((entry) => entry.startsWith('BUILDKIT')))
  assert.equal(history.at(-1)!.entry.created_by, 'RUN |1 BUILDKIT_SBOM_SCAN_CONTEXT=1 /bin/sh -c x # buildkit')
})

test('TARGETSTAGE: the target, else the name of the last stage', async () => {
  const stage = async (text: string, target?: string) =>
    (await plan(`FROM a AS one\n${text}\nARG TARGETSTAGE\nLABEL s=$TARGETSTAGE`, target ? { target } : {})).config
      .Labels
  assert.deepEqual(await stage('FROM a AS last'), { s: 'last' })
  assert.deepEqual(await stage('FROM a'), { s: 'default' })
  assert.deepEqual(await stage('FROM a AS last', 'last'), { s: 'last' })
})

test('a default above FROM that needs a value is asked for only when it is used', async () => {
  const text = 'ARG V="${V:?name a version}"\nFROM a:$V'
  assert.deepEqual((await plan(text, { args: { V: '1' } })).asked, ['a:1 linux/amd64'])
  await assert.rejects(plan(text), /V: name a version/)
})

test('sources that .dockerignore takes away are told of, unless an exception may bring something back', async () => {
  const warned = async (ignore: string[], source: string) =>
    (await plan(`FROM a\nADD ${source} /`, { ignore })).warnings.length > 0
  assert.equal(await warned(['d', '!other/*.txt'], 'd/a'), true)
  assert.equal(await warned(['!d/keep', 'd'], 'd'), true, 'an exception that a later line undoes')
  assert.equal(await warned(['d', '!d/keep'], 'd'), false)
  assert.equal(await warned(['d', '!d/keep'], 'd/*'), false)
  assert.equal(await warned(['*'], '.'), true)
  assert.equal(await warned(['**', '!Dockerfile'], '.'), false)
  assert.equal(await warned(['.*'], '.'), false)
})
