/** The same of both clients on a living engine: tables, templates, JSON, errors and exit codes of `slipway docker` and docker. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { shellWords } from '../../src/lib/shell-words.ts'
import { startDocker, until } from './docker-kit.ts'
import { compare } from './side-by-side.ts'

const docker = startDocker()
after(() => docker.stop())
const { env } = docker.instance
const sh = 'sh -c'

await docker.ok('volume', 'create', '--label', 'a=b', 'data')
await docker.ok('network', 'create', '--internal', 'net')
await docker.ok(
  ...shellWords(
    'run -d --name one -p 127.0.0.1::80 -p 127.0.0.1::81/udp -v data:/v -l a.b-c=1 -l z=y --health-cmd true --health-interval 300ms --restart always busybox sleep 1000',
  ),
)
await docker.ok('run', '--name', 'two', '--network', 'net', 'busybox', 'sh', '-c', 'echo out; echo bad >&2')
await docker.ok('create', '-it', '--name', 'three', '-m', '64m', 'busybox', 'sh')
await until('the health check', async () => /healthy/.test(await docker.ok('ps')))
await docker.ok('commit', 'two', 'registry.example:5000/team/app:v1')
writeFileSync(join(docker.dir, 'vars'), 'A=file\n')

/** Lines of words; ` <<< ` before what is typed. '@' stands for a suffix of each client's own. */
const same = async (lines: string): Promise<void> => {
  const differences: string[] = []
  for (const line of lines
    .split('\n')
    .map((each) => each.trim())
    .filter(Boolean)) {
    const [command = '', input] = line.split(' <<< ')
    const difference = await compare(shellWords(command), { env, cwd: docker.dir, input })
    if (difference !== '') differences.push(`${line}\n${difference}`)
  }
  assert.equal(differences.join('\n\n'), '')
}

test('lists', () =>
  same(`
    ps
    ps -a
    ps -as
    ps -a --no-trunc
    ps -aq
    ps -aq --no-trunc
    ps -a --format json
    ps -n 1
    ps -l
    ps -a -f status=exited
    ps -f status=nope
    ps -a --format raw
    ps -a --format '{{json .Names}} {{.Label "z"}} {{.Labels}} {{upper .State}} {{.Mounts}} {{.Networks}}'
    ps -a --format 'table {{.Names}}\\t{{.Label "a.b-c"}}\\t{{.Mounts}}\\t{{.LocalVolumes}}'
    ps -a --format '{{if eq .State "running"}}up{{else}}down{{end}} {{.Size}}'
    ps --format {{.Foo}}
    ps --format {{.Foo
    ps --format 'table {{.ID}}\\t{{.Foo}}'
    images
    images --digests
    images -q
    images --no-trunc
    images --format json
    images nope
    images --format '{{.Repository}}:{{.Tag}} {{.VirtualSize}}'
    images -f reference=registry.example:5000/*/*
    history busybox
    history --format json busybox
    history -q --no-trunc busybox
    history -H=false busybox
    network ls --format json
    network ls -q --no-trunc
    network ls -f driver=bridge
    network ls -f foo=bar
    volume ls
    volume ls --format json
    volume ls -q -f label=a
    system df --format '{{.Type}}: {{.TotalCount}}'
    system df
    system df -v
    system df -v --format json
  `))

test('inspect', () =>
  same(`
    inspect one
    inspect -s two
    inspect one data bridge busybox
    inspect -f json one nope
    inspect --type image one
    inspect -f '{{.State.Status}} {{len .Config.Env}} {{range .Mounts}}{{.Name}}:{{.Destination}} {{end}}' one
    inspect -f '{{.State.Health.Status}}' three
    inspect -f '{{if .State.Health}}a{{else}}b{{end}} {{.Config.Healthcheck}} {{.HostConfig.Init}}' three
    inspect -f '{{json .NetworkSettings.Ports}} {{json .Config.Labels}} {{.Config.Cmd}}' one
    inspect -f '{{index .Config.Labels "a.b-c"}} {{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}}' one three
    inspect -f '{{range $k, $v := .NetworkSettings.Networks}}{{$k}}={{.NetworkID}}{{end}}' one
    inspect -f '{{printf "%-8s|%05d|%v" .Name .HostConfig.Memory .State.Running}}' three
    inspect -f '{{with .Config}}{{join .Cmd ","}} {{.Image | upper}}{{end}} {{split .Name "/"}}' one
    inspect -f {{.Foo}} one
    inspect -f {{.Foo one
    inspect -f '{{foo}}' one
    container inspect nope
    image inspect nope
    image inspect -f '{{.Id}} {{len .RepoTags}}' busybox
    volume inspect data
    volume inspect -f json data nope
    volume inspect -f {{.Nope}} data nope
    network inspect net
    network inspect -f '{{.Name}} {{.Internal}}' net nope
    info -f '{{.ServerVersion}} {{.OSType}}'
    info -f {{.Nope}}
    info -f {{.Nope
  `))

test('run and exec: output, input, exit codes', () =>
  same(`
    run --rm busybox ${sh} 'echo a; echo b >&2; exit 7'
    run --rm -i busybox cat <<< typed
    run --rm -i busybox ${sh} 'read a; read b; echo $a$b' <<< x\ny
    run --rm -a stderr busybox ${sh} 'echo a; echo b >&2'
    run --rm -e A=flag --env-file vars busybox ${sh} 'echo $A'
    run --rm -t busybox ${sh} 'test -t 1 && echo terminal'
    run --rm busybox nosuch
    run --rm busybox /etc/passwd
    run --pull never --rm nosuch/image:1
    run --restart foo busybox true
    run --rm --name one busybox true
    exec one ${sh} 'echo a; echo b >&2; exit 4'
    exec -i one cat <<< in
    exec -d one true
    exec -u app -e A=b -w /tmp one ${sh} 'id -un; echo $A; pwd'
    exec one nosuch
    exec one /etc/passwd
    exec two true
    exec nope true
    exec --env-file nope one true
    create --name c@ busybox ${sh} 'echo hi; exit 3'
    start -a c@
    logs c@
    rm c@
    attach two
    attach nope
    start -a one two
    start nope two
  `))

test('the life of a container', () =>
  same(`
    run -d --name r@ busybox sleep 100
    rename r@ s@
    rename s@ one
    rename '' x
    pause s@ s@
    unpause s@
    update --memory 64m s@
    stop -t 0 s@ nope
    start s@
    restart -t 0 s@
    kill -s foo s@
    kill s@
    wait s@
    kill s@
    kill nope
    rm one
    rm -v s@
    rm -f s@ nope
    logs two
    logs --tail 1 two
    logs nope
    diff two
    port one 82
    port nope
    top two
    top one -o pid,cmd
    stats --no-stream nope
    commit -m msg -c 'CMD x' two img@
    image inspect -f '{{.Comment}} {{.Config.Cmd}}' img@
    rmi img@
    events --until 0s --since 0 --filter container=two --filter event=die --format '{{.Type}} {{.Action}} {{.Actor.Attributes.name}}'
    events --until 0s --since 0 --filter container=two --filter event=die
    events --until 0s --since 0 --filter container=two --filter event=die --format json
    events --format {{.Foo
  `))

test('cp, save and load', () =>
  same(`
    cp vars two:/copied@
    cp two:/copied@ out@
    cp two:/etc/passwd /nope/x/
    cp two:/nope x
    cp a b
    cp a:/x b:/y
    cp nosuchfile two:/x
    cp vars two:/nope/deep/x
    cp vars two:/nope/
    cp two:/etc vars
    cp . two:/etc/passwd
    export -o out@.tar two
    export nope
    save -o image@.tar busybox
    save nope
    load -i image@.tar
    load -i nope
    import nope
    import out@.tar imported@:x
    rmi imported@:x
  `))

test('images, volumes, networks', () =>
  same(`
    rmi nope
    rmi -f nope
    rmi --platform linux/s390x busybox
    rmi --platform linux/s390x,linux/arm64 busybox
    image inspect --platform linux/s390x busybox
    history --platform linux/s390x busybox
    save --platform linux/s390x -o image@.tar busybox
    rmi busybox
    tag nope a
    tag busybox A
    tag busybox t@
    rmi t@
    volume create data
    volume create 'a b'
    volume create --label a=b -d local v@
    volume create -d foo v@
    volume rm v@
    volume rm data
    volume rm nope
    volume rm -f nope
    network create bridge
    network create --subnet x n@
    network create n@
    network connect n@ one
    network rm n@
    network disconnect n@ one
    network connect n@ nope
    network rm n@
    network rm nope
    network rm -f nope
    search foo
    login -u a -p b 127.0.0.1:1
    login -u a --password-stdin -p b
    login --password-stdin
    login x y
    logout
    logout foo.example
  `))

test('prune asks first', () =>
  same(`
    container prune
    container prune <<< n
    image prune
    image prune -a <<< no
    volume prune
    volume prune -a
    network prune
    system prune
    system prune -a --volumes
    system prune --filter label=a
    system prune --volumes --filter until=1h
    network create p@
    network prune --filter label=none <<< y
    network rm p@
    volume prune <<< y
  `))
