/** `slipway docker …` and docker's client ask the engine the same: every flag, and every refusal, of both on the same words. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { collect, type Ran } from './docker-kit.ts'
import { startFakeEngine } from './fake-engine.ts'
import { shellWords } from '../../src/lib/shell-words.ts'
import { slipwayHere } from './side-by-side.ts'

const dir = mkdtempSync(join(tmpdir(), 'slipway-flags-'))
// One each, so that both can be asked at a time.
const [theirs, ours] = await Promise.all([startFakeEngine(join(dir, 'a')), startFakeEngine(join(dir, 'b'))])
after(() => {
  theirs.stop()
  ours.stop()
  rmSync(dir, { recursive: true, force: true })
})
writeFileSync(join(dir, 'vars'), '# comment\nA=1\n  B=2\nSETVAR\nNOTSET\n')
writeFileSync(join(dir, 'bad-vars'), 'a b=1\n')
writeFileSync(join(dir, 'labels'), 'l1=a\nl2\n')
writeFileSync(join(dir, 'seccomp.json'), '{"defaultAction": "SCMP_ACT_ALLOW"}')
writeFileSync(join(dir, 'there'), '')

const shown = ({ code, stdout, stderr }: Ran, asked: string[], home: string): string =>
  [`exit ${code}`, stdout, stderr, ...asked]
    .join('\n')
    .replaceAll(home, '<home>')
    .replaceAll('slipway docker', 'docker')
    .replace(/^slipway: /gm, 'docker: ')
    // A slip of the pen in docker's text.
    .replace(/^SRun/m, 'See')

const same = async (lines: string): Promise<void> => {
  for (const line of lines
    .split('\n')
    .map((each) => each.trim())
    .filter(Boolean)) {
    const options = (env: NodeJS.ProcessEnv) => ({ env: { ...env, SETVAR: 'set' }, cwd: dir })
    const [docker, slipway] = await Promise.all([
      collect('docker', shellWords(line), options(theirs.env)),
      slipwayHere(['docker', ...shellWords(line)], options(ours.env)),
    ])
    assert.equal(shown(slipway, ours.taken(), join(dir, 'b')), shown(docker, theirs.taken(), join(dir, 'a')), line)
  }
}

test('create: what the process is', () =>
  same(`
    create busybox
    create busybox sh -c 'a b'
    create -it --name x --hostname h --domainname d busybox
    create -a stdin -a STDERR busybox
    create -i busybox
    create --tty=f --interactive=T busybox
    create -it=false busybox
    create --entrypoint '' busybox
    create --entrypoint sh busybox -c x
    create -e A=b -e SETVAR -e UNSETVAR -e C= --env-file vars busybox
    create -l a=b -l c --label-file labels busybox
    create --stop-signal INT --stop-timeout 5 --user 1:2 --workdir /w --rm --read-only --init busybox
    create --stop-timeout 0 --stop-signal '' --init=false busybox
    create --health-cmd 'a b' --health-interval 1m30s --health-timeout 5s --health-retries 3 --health-start-period 10s --health-start-interval 500ms busybox
    create --health-interval 1.5h busybox
    create --no-healthcheck busybox
    create --restart always busybox
    create --restart on-failure:3 busybox
    create --log-driver local --log-opt max-size=1m --log-opt x busybox
    create --platform linux/arm64 --cidfile '' busybox
    create --use-api-socket busybox
  `))

test('create: limits, privileges, namespaces', () =>
  same(`
    create -m 512m --memory-reservation 256M --memory-swap -1 --memory-swappiness 10 --kernel-memory 64m --oom-kill-disable --oom-score-adj 5 busybox
    create --memory 1.5g busybox
    create --memory 10kib --memory-swap '10 mb' busybox
    create --memory .5g --cpus .5 --cpu-shares 0x10 --pids-limit -1 busybox
    create --cpus 1.5 --cpu-shares 512 --cpu-period 1000 --cpu-quota 500 --cpu-rt-period 1 --cpu-rt-runtime 2 --cpuset-cpus 0-1 --cpuset-mems 0 --pids-limit 100 busybox
    create --blkio-weight 100 --blkio-weight-device /dev/null:200 --device-read-bps /dev/null:1mb --device-read-iops /dev/null:100 --device-write-bps /dev/null:1 --device-write-iops /dev/null:2 busybox
    create --ulimit nofile=1024:2048 --ulimit core=-1 --ulimit nproc=5 --shm-size 64m --storage-opt size=1g busybox
    create --cap-add NET_ADMIN --cap-add all --cap-drop cap_chown --privileged --group-add wheel --security-opt no-new-privileges --security-opt label=disable --security-opt seccomp=seccomp.json --security-opt systempaths=unconfined busybox
    create --security-opt seccomp=unconfined --security-opt apparmor:x busybox
    create --device /dev/null --device /dev/zero:/dev/z --device /dev/full:r --device /dev/full:/dev/x:rw --device-cgroup-rule 'c 1:3 rwm' busybox
    create --gpus all busybox
    create --device vendor.com/class=one --device /dev/null --device vendor.com/class=two:0 busybox
    create --gpus 1 --device vendor.com/class=one busybox
    create --gpus 2 busybox
    create --gpus device=0,driver=nvidia,capabilities=compute busybox
    create --gpus '"device=0,1"' busybox
    create --sysctl net.ipv4.ip_forward=1 --annotation a=b --annotation c --runtime runc --isolation default busybox
    create --ipc host --pid host --uts host --userns host --cgroupns host --cgroup-parent /x busybox
    create --ipc container:x --pid container:y --cgroupns private busybox
  `))

test('create: mounts and networks', () =>
  same(`
    create -v /a:/b:ro -v vol:/c -v /anon -v ./rel:/d --tmpfs /t:size=1m --tmpfs /u --volumes-from x:ro --volume-driver local busybox
    create --mount type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave --mount type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770 busybox
    create --mount type=volume,src=v,target=/v,volume-nocopy,volume-label=a=b,volume-driver=local,volume-opt=type=tmpfs,volume-subpath=s busybox
    create --mount type=image,src=busybox,target=/i,image-subpath=x busybox
    create --mount 'type=volume,target=/v,"volume-opt=o=a,b"' --mount target=/q busybox
    create --mount type=bind,src=/a,dst=/b,bind-recursive=disabled busybox
    create --mount type=bind,src=/a,dst=/b,readonly,bind-recursive=writable busybox
    create --mount type=bind,src=/a,dst=/b,readonly,bind-propagation=rprivate,bind-recursive=readonly busybox
    create -p 80 -p 8080:80 -p 127.0.0.1:81:81/udp -p [::1]:90:90 -p 3000-3002:4000-4002 -p 5000-5010:50 -p 127.0.0.1::99 --expose 7-9/udp --expose 5 busybox
    create -p published=8080,target=80,protocol=udp -P busybox
    create --network net --network-alias a --network-alias b --ip 10.0.0.1 --ip6 fd00::1 --link-local-ip 169.254.1.1 --link c:d busybox
    create --network name=net,alias=a,driver-opt=X=Y,ip=10.0.0.3,mac-address=92:d0:c6:0a:29:33,gw-priority=5 --network other busybox
    create --network host busybox
    create --network container:x busybox
    create --network name= busybox
    create --network bridge --link a:b busybox
    create --link a busybox
    create --mac-address 92:d0:c6:0a:29:33 busybox
    create --network net --mac-address 00-11-22-33-44-55 busybox
    create --network host --network bridge busybox
    create --dns 1.1.1.1 --dns-option ndots:2 --dns-search a.b --dns-search . --add-host a:1.2.3.4 --add-host b=fe80::1 --add-host 'c:[::1]' --add-host d:host-gateway busybox
  `))

test('create: values that cannot be read', () =>
  same(`
    create -m abc busybox
    create -m
    create --memory
    create --nope busybox
    create --nope=1 busybox
    create -itZ busybox
    create --=x busybox
    create --- busybox
    create --tty=maybe busybox
    create --memory 100xb busybox
    create --memory -5 busybox
    create --shm-size -1 busybox
    create --cpus x busybox
    create --cpus 1.2345678912345 busybox
    create --cpu-shares x busybox
    create --cpu-shares 99999999999999999999 busybox
    create --blkio-weight x busybox
    create --blkio-weight 70000 busybox
    create --blkio-weight-device x busybox
    create --blkio-weight-device x:1 busybox
    create --blkio-weight-device /dev/null:5 busybox
    create --device-read-bps /dev/null:y busybox
    create --device-read-iops /dev/null:y busybox
    create --device-cgroup-rule x busybox
    create --health-timeout 5 busybox
    create --health-timeout 1m2 busybox
    create --health-timeout 1d busybox
    create --health-timeout x busybox
    create --health-retries x busybox
    create --env = busybox
    create --label = busybox
    create --label '' busybox
    create --add-host foo busybox
    create --add-host a: busybox
    create --add-host a:b busybox
    create --dns x busybox
    create --dns-search 'a b' busybox
    create --link '' busybox
    create --link a:b:c busybox
    create -a x busybox
    create --network a=b busybox
    create --network name=a,foo=b busybox
    create --network name=a,foo busybox
    create --network name=a,gw-priority=x busybox
    create --gpus foo=1 busybox
    create --gpus x busybox
    create --gpus '' busybox
    create --gpus count=1,count=2 busybox
    create --ulimit x busybox
    create --ulimit nofile=5:3 busybox
    create --ulimit nofile=-1:5 busybox
    create --ulimit foo=1 busybox
    create --ulimit nofile=1:2:3 busybox
    create --ulimit nofile=x busybox
    create --sysctl a=b busybox
    create --mount x busybox
    create --mount '' busybox
    create --mount type=bind busybox
    create --mount type=bind,target=/x,volume-nocopy busybox
    create --mount type=bind,src=/a,dst=/b,bind-recursive=foo busybox
    create --mount type=bind,src=/a,dst=/b,bind-recursive=writable busybox
    create --mount type=bind,src=/a,dst=/b,readonly=foo busybox
    create --mount type=tmpfs,dst=/b,tmpfs-size=foo busybox
    create --mount type=tmpfs,dst=/b,foo=x busybox
  `))

test('create: what contradicts itself, or cannot be', () =>
  same(`
    create --rm --restart always busybox
    create --restart on-failure:x busybox
    create --restart :3 busybox
    create --pull foo busybox
    create --pid foo busybox
    create --uts foo busybox
    create --userns foo busybox
    create --cgroupns foo busybox
    create --security-opt foo busybox
    create --security-opt seccomp=/nope busybox
    create --storage-opt foo busybox
    create --log-driver none --log-opt a=b busybox
    create --no-healthcheck --health-cmd x busybox
    create --health-interval -1s busybox
    create --memory-swappiness 101 busybox
    create --device x busybox
    create --device '' busybox
    create --device /a:b busybox
    create --device /a:/b:z busybox
    create --device /a:/b:r:x busybox
    create --expose a:b busybox
    create --expose x busybox
    create --expose '' busybox
    create --expose 5-3 busybox
    create --expose 70000 busybox
    create -p foo busybox
    create -p '' busybox
    create -p a:80 busybox
    create -p 80:80:80:80 busybox
    create -p 1-2:1-3 busybox
    create -p 80- busybox
    create -p 80/foo busybox
    create -p 80/tcp/udp busybox
    create -p 127.0.0.1:80 busybox
    create -p 99999:80 busybox
    create -p target=80,foo busybox
    create --mac-address x busybox
    create --network name=a,mac-address=x busybox
    create --network net --network net busybox
    create --network net --network host busybox
    create --network host --network-alias x busybox
    create --network name=net,alias=a --network-alias b busybox
    create --network name=net,ip=10.0.0.1 --ip 10.0.0.2 busybox
    create --env-file nope busybox
    create --env-file bad-vars busybox
    create --label-file nope busybox
    create --cidfile there busybox
    create --cidfile nope/x busybox
    run -d -a stdout busybox
    run -it busybox
  `))

test('the other commands of containers', () =>
  same(`
    update --memory 64m --cpus 2 --restart always --pids-limit 5 --blkio-weight 10 x
    update --restart on-failure:5 x
    update --restart a:b x
    update x
    exec -d -e A=b -e SETVAR -u 1 -w /x --privileged --env-file vars x a b
    exec -d --detach-keys ctrl-a x sh
    exec -it x sh
    exec x
    stop -t 5 -s INT x
    stop --time 5 x y
    restart -s HUP x
    kill -s 9 x
    rm -fv x
    rm -l x
    rm
    commit -a me -c 'CMD a' -c 'ENV b=c' -m msg -p=false x repo:tag
    commit x repo
    rename x y
    rename x
    top x -o pid
    wait x
    pause x
    unpause x
    diff x
    port x
    start x
    ps -a --filter status=exited --filter name=a --filter label=x=y -n 5 -s
    ps -l
    ps -f x
    ps x
    container ls --filter a=b,c
    container prune -f --filter until=1h
    inspect -s x
    container nope
    nope
  `))

test('images, volumes, networks, system', () =>
  same(`
    images -a -f dangling=true
    images -a repo:tag
    images a b
    history x
    tag a b:c
    tag a b
    tag a B
    rmi -f --no-prune x y
    rm --link a/b
    rmi --platform linux/arm64 x
    image rm --platform linux/arm64,linux/amd64 --platform linux/arm/v7 x
    rmi --platform a/b/c/d x
    image inspect --platform linux/arm64 x
    history --platform linux/arm64 x
    images --tree -q
    images --tree --no-trunc
    images --tree --digests
    images --tree --format x
    pull -q a/b
    pull -a a -q
    pull a:b -a
    push -q a
    push -a a -q
    save a b
    save --platform linux/arm64 a
    load --platform linux/arm64
    import -c 'CMD x' -m msg --platform linux/arm64 - repo:tag
    import http://a/b repo
    import
    image prune -f -a
    image prune -f --filter label=a
    volume create -d local -o a=b --label c=d v
    volume create
    volume create a b
    volume rm -f x
    volume prune -f -a --filter label=x
    volume ls -f dangling=true
    network create -d bridge --subnet 10.0.0.0/24 --gateway 10.0.0.1 --ip-range 10.0.0.128/25 --aux-address a=10.0.0.5 --internal --attachable --ipv6 -o a=b --label c=d --ipam-driver default --ipam-opt x=y n
    network create --ipv4=false --scope local --config-only n
    network create --config-from x n
    network create --gateway 10.0.0.1 n
    network create --subnet 10.0.0.0/24 --gateway 10.0.0.1 --gateway 10.0.0.2 n
    network create --subnet 10.0.0.0/24 --ip-range 10.1.0.0/25 n
    network create --subnet 10.0.0.0/24 --subnet 10.0.0.0/16 n
    network connect --alias a,b --ip 1.2.3.4 --ip6 ::1 --link c:d --link-local-ip 1.1.1.1 --driver-opt a=b --gw-priority 3 n c
    network connect n c
    network connect n
    network disconnect -f n c
    network inspect -v n
    network prune -f --filter until=1h
    system prune -f -a --volumes
    system prune -f --filter until=24h
    system prune -f --volumes --filter until=24h
    search -f stars=3 --limit 5 foo
    events --since 1577836800 --until 1577836801 -f type=container --filter event=die
  `))
