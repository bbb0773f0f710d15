/** docker-py, on which docker-compose 1.x, Ansible and many scripts stand: a session of its own words, one after another. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, afterEach, test } from 'node:test'
import { collect, startDocker } from './docker-kit.ts'
import { clientsIn } from './tools.ts'

const python = join(clientsIn('python-docker'), 'python-docker')
const docker = startDocker()
after(() => docker.stop())
afterEach(() => docker.clean())

/** Runs Python with `c`, a client from the environment; what it prints. */
const session = async (script: string): Promise<string> => {
  const { env } = docker.instance
  const text = `import docker, io, tarfile, threading, time\nc = docker.from_env()\n${script}`
  const ran = await collect(python, ['-c', text], { env, timeoutMs: 60_000 })
  assert.equal(ran.code, 0, ran.stdout + ran.stderr)
  return ran.stdout.replace(/\n$/, '')
}

test('run, and how failures come', async () => {
  assert.equal(
    await session(`
print(c.containers.run('busybox', 'echo hello', remove=True))
try:
    c.containers.run('busybox', 'sh -c "echo out; echo bad >&2; exit 3"', remove=True)
except docker.errors.ContainerError as e: print(e.exit_status, e.stderr)
for f in (lambda: c.containers.get('nope'), lambda: c.volumes.get('nope'), lambda: c.networks.get('nope'), lambda: c.secrets.list(), lambda: c.swarm.leave()):
    try: f()
    except docker.errors.NotFound as e: print(404)
    except docker.errors.APIError as e: print(e.response.status_code, e.explanation[:40])`),
    "b'hello\\n'\n3 b'bad\\n'\n404\n404\n404\n503 This node is not a swarm manager. Use \"d\n503 This node is not part of a swarm",
  )
})

test('exec: output apart, exit codes, a socket with input', async () => {
  assert.equal(
    await session(`
k = c.containers.run('busybox', 'sleep 100', detach=True)
print(k.exec_run(['sh', '-c', 'echo o; echo e >&2; exit 4'], demux=True))
print(k.exec_run('id -u', user='1000', workdir='/tmp', environment={'A': '1'}).output)
print(b''.join(k.exec_run('sh -c "echo 1; sleep 0.2; echo 2"', stream=True).output))
id = c.api.exec_create(k.id, 'cat', stdin=True)
s = c.api.exec_start(id, socket=True)
s._sock.sendall(b'ping\\n')
print(s._sock.recv(100))
s._sock.shutdown(1)
print(s._sock.recv(100), c.api.exec_inspect(id)['ExitCode'])`),
    "ExecResult(exit_code=4, output=(b'o\\n', b'e\\n'))\nb'1000\\n'\nb'1\\n2\\n'\nb'\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x05ping\\n'\nb'' 0",
  )
})

test('logs, attach, stats, archives, top, update', async () => {
  assert.equal(
    await session(`
k = c.containers.run('busybox', 'sh -c "i=0; while true; do echo $i; i=$((i+1)); sleep 0.2; done"', detach=True, name='kk',
    ports={'80/tcp': ('127.0.0.1', None)}, volumes={'vol': {'bind': '/v', 'mode': 'rw'}}, mem_limit='64m', tmpfs={'/t': 'size=1m'},
    ulimits=[docker.types.Ulimit(name='nofile', soft=100, hard=100)])
print([l for l, _ in zip(k.logs(stream=True), range(2))])
print(next(iter(c.api.attach(k.id, stream=True))).strip().isdigit())
print(k.stats(stream=False)['memory_stats']['limit'])
g = k.stats(decode=True)
print(next(g)['read'] < next(g)['read'])
t = io.BytesIO(); tar = tarfile.open(fileobj=t, mode='w'); i = tarfile.TarInfo('f.txt'); i.size = 3; tar.addfile(i, io.BytesIO(b'abc')); tar.close()
print(k.put_archive('/v', t.getvalue()), k.get_archive('/v/f.txt')[1]['size'])
print(k.top()['Titles'][0], k.update(mem_limit='128m', memswap_limit='256m')['Warnings'])
k.reload(); print(k.attrs['HostConfig']['Memory'], k.attrs['HostConfig']['Ulimits'])
k.remove(force=True); c.volumes.get('vol').remove()`),
    "[b'0\\n', b'1\\n']\nTrue\n67108864\nTrue\nTrue 3\nUID []\n134217728 [{'Name': 'nofile', 'Soft': 100, 'Hard': 100}]",
  )
})

test('networks, events of a whole life, images built from a stream', async () => {
  assert.equal(
    await session(`
k = c.containers.create('busybox', 'sleep 100', name='life')
n = c.networks.create('pynet', ipam=docker.types.IPAMConfig(pool_configs=[docker.types.IPAMPool(subnet='172.31.177.0/24')]))
n.connect(k, aliases=['al'], ipv4_address='172.31.177.9')
seen = []
def watch():
    for e in c.events(decode=True, filters={'container': 'life', 'type': 'container'}):
        seen.append(e['Action'])
        if e['Action'] == 'destroy': break
w = threading.Thread(target=watch); w.start(); time.sleep(0.3)
k.start(); n.reload(); print([x.name for x in n.containers])
k.restart(timeout=0); k.pause(); k.unpause()
k.kill(); print(k.wait()['StatusCode']); k.start(); k.remove(force=True); w.join(5); n.remove()
print([e for e in seen if e != 'kill'])
image, lines = c.images.build(fileobj=io.BytesIO(b'FROM busybox\\nRUN echo hi > /x\\nLABEL q=w\\n'), tag='pyimg', rm=True)
print(image.tags, image.labels, list(lines)[-1])
try: c.images.build(fileobj=io.BytesIO(b'FROM busybox\\nRUN exit 9\\n'))
except docker.errors.BuildError as e: print(e.msg)
c.images.remove('pyimg')`),
    "['life']\n137\n['start', 'die', 'stop', 'start', 'restart', 'pause', 'unpause', 'die', 'start', 'die', 'destroy']\n['pyimg:latest'] {'q': 'w'} {'stream': 'Successfully tagged pyimg:latest\\n'}\nThe command '/bin/sh -c exit 9' returned a non-zero code: 9",
  )
})
