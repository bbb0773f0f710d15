/** Published ports and the firewall of the host, on a host of the test's own: a network namespace with another one beside. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { after, test } from 'node:test'
import { collect, startDocker, until } from './docker-kit.ts'

const host = `tnh${process.pid}`
const outside = `tno${process.pid}`
const at = (netns: string): string[] => ['nsenter', `--net=/run/netns/${netns}`]
const within = (netns: string, ...argv: string[]): string => {
  const [program, ...words] = [...at(netns), ...argv]
  return execFileSync(program!, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}
const address = { host4: '192.0.2.1', host6: '2001:db8::1', out4: '192.0.2.9', out6: '2001:db8::9' }

execFileSync('ip', ['netns', 'add', host])
execFileSync('ip', ['netns', 'add', outside])
const end = (): void => {
  for (const netns of [host, outside]) execFileSync('ip', ['netns', 'del', netns])
}
process.once('exit', end)
within(host, 'ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'up0', 'netns', `/run/netns/${outside}`)
for (const [netns, four, six] of [
  [host, address.host4, address.host6],
  [outside, address.out4, address.out6],
] as const) {
  within(netns, 'ip', 'link', 'set', 'lo', 'up')
  within(netns, 'ip', 'link', 'set', 'up0', 'up')
  within(netns, 'ip', 'addr', 'add', `${four}/24`, 'dev', 'up0')
  within(netns, 'ip', 'addr', 'add', `${six}/64`, 'dev', 'up0', 'nodad')
}

const docker = startDocker(at(host))
after(() => {
  docker.stop()
  const legacy = within(host, 'sh', '-c', 'cat /proc/self/net/ip_tables_names 2>/dev/null || true')
  assert.equal(legacy, '', 'the old iptables was not begun by looking at it')
})
const { ok } = docker

/** Answers every request with the address it sees. */
const mirror = `mkdir -p /www/cgi-bin; printf '#!/bin/sh\\necho; echo $REMOTE_ADDR\\n' > /www/cgi-bin/who; chmod +x /www/cgi-bin/who; exec busybox httpd -f -p [::]:80 -h /www`
const runMirror = (name: string, ...args: string[]): Promise<string> =>
  ok('run', '-d', '--name', name, ...args, 'busybox', 'sh', '-c', mirror)
/** The client's address as the server sees it; '' where nothing answers. */
const seen = async (from: string, to: string, port: number): Promise<string> => {
  const [program, ...words] = [...at(from), 'busybox', 'nc', '-w', '1', to, String(port)]
  const { stdout } = await collect(program!, words, { input: 'GET /cgi-bin/who HTTP/1.0\r\n\r\n' })
  return /\n\r?\n\[?([0-9a-f.:]+?)\]?(:\d+)?\s*$/.exec(stdout)?.[1]?.replace('::ffff:', '') ?? ''
}
const answers = (from: string, to: string, port: number) =>
  until(`an answer of ${to}:${port}`, () => seen(from, to, port))
const silent = (from: string, to: string, port: number) =>
  until(`silence of ${to}:${port}`, async () => (await seen(from, to, port)) === '')

test('who may reach what, and who is seen', async () => {
  const mode = (name: string): string[] =>
    [4, 6].flatMap((v) => ['-o', `com.docker.network.bridge.gateway_mode_ipv${v}=${name}`])
  await ok('network', 'create', '--ipv6', '--subnet', '10.213.30.0/24', '--subnet', 'fd00:2:30::/64', 'nat')
  await ok('network', 'create', ...mode('nat-unprotected'), '--subnet', '10.213.31.0/24', 'open')
  await ok('network', 'create', ...mode('routed'), '--subnet', '10.213.32.0/24', 'routed')
  await runMirror('web', '--network', 'nat', '--ip', '10.213.30.9', '--ip6', 'fd00:2:30::9', '-p', '8080:80')
  await runMirror('all', '--network', 'open', '--ip', '10.213.31.9')
  await runMirror('one', '--network', 'routed', '--ip', '10.213.32.9', '-p', '80')
  await runMirror('none', '--network', 'routed', '--ip', '10.213.32.10')
  within(outside, 'ip', 'route', 'add', '10.213.0.0/16', 'via', address.host4)
  assert.equal(await answers(outside, address.host4, 8080), address.out4, 'the address of the client is kept')
  assert.equal(await answers(outside, address.host6, 8080), address.out6, 'in IPv6 too')
  assert.equal(await answers(host, '127.0.0.1', 8080), '10.213.30.1')
  assert.notEqual(await answers(host, '::1', 8080), '')
  assert.notEqual(await seen(host, address.host4, 8080), '')
  assert.equal(await seen(outside, '10.213.30.9', 80), '', 'what is published is not open at its own address')
  assert.equal(await answers(outside, '10.213.31.9', 80), address.out4)
  assert.equal(await answers(outside, '10.213.32.9', 80), address.out4)
  assert.equal(await seen(outside, '10.213.32.10', 80), '', 'routed to, but not published')
  // From containers: the host's port, also of oneself.
  const asked = async (name: string, to: string): Promise<string> =>
    (
      await docker.run(['exec', '-i', name, 'nc', '-w', '2', to, '8080'], {
        input: 'GET /cgi-bin/who HTTP/1.0\r\n\r\n',
      })
    ).stdout
  for (const to of [address.host4, address.host6]) assert.match(await asked('web', to), /200 OK/, `itself by ${to}`)
  assert.match(await asked('all', address.host4), /10\.213\.31\.9/, 'from another network, with its own address')
})

test('the rules of the user have the last word', async () => {
  const { host4 } = address
  const rule = ['FORWARD', '-p', 'tcp', '-m', 'conntrack', '--ctorigdstport', '8080', '-j', 'DROP']
  within(host, 'iptables-nft', '-I', ...rule)
  assert.equal(await seen(outside, host4, 8080), '', 'iptables')
  within(host, 'iptables-nft', '-D', ...rule)
  assert.notEqual(await seen(outside, host4, 8080), '')
  const own =
    'table inet mine { chain f { type filter hook forward priority 10; meta l4proto tcp ct original proto-dst 8080 drop; }; }'
  within(host, 'nft', own)
  assert.equal(await seen(outside, host4, 8080), '', 'nftables')
  within(host, 'nft', 'delete table inet mine')
  within(host, 'iptables-nft', '-N', 'DOCKER-USER')
  within(host, 'iptables-nft', '-A', 'DOCKER-USER', '-i', 'up0', '-j', 'DROP')
  await silent(outside, host4, 8080)
  within(host, 'iptables-nft', '-F', 'DOCKER-USER')
  assert.notEqual(await seen(outside, host4, 8080), '')
})

test('a policy that drops what is forwarded stops nothing of ours, but a rule does', async () => {
  within(host, 'iptables-nft', '-P', 'FORWARD', 'DROP')
  assert.notEqual(await answers(outside, address.host4, 8080), '')
  within(host, 'iptables-nft', '-A', 'FORWARD', '-s', address.out4, '-j', 'DROP')
  await silent(outside, address.host4, 8080)
  within(host, 'iptables-nft', '-F', 'FORWARD')
  assert.equal(await answers(outside, address.host4, 8080), address.out4, 'after a flush')
  within(host, 'iptables-nft', '-P', 'FORWARD', 'ACCEPT')
})

test('pods reach the name server and the API where the machine lets nothing in', async () => {
  const pod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"asks"},"spec":{"containers":[{"name":"c","image":"busybox:latest","imagePullPolicy":"Never","command":["sleep","1000"]}]}}`
  const kubectl = async (input: string, ...args: string[]) => {
    const [program, ...words] = [...at(host), 'kubectl', ...args]
    return await collect(program!, words, { input, env: docker.instance.env })
  }
  assert.equal((await kubectl(pod, 'apply', '-f', '-')).code, 0)
  assert.equal((await kubectl('', 'wait', '--for=condition=Ready', 'pod/asks', '--timeout=20s')).code, 0)
  const asks = async (): Promise<boolean> =>
    (await kubectl('', 'exec', 'asks', '--', 'nslookup', 'kubernetes.default.svc.cluster.local')).code === 0
  assert.ok(await asks())
  within(host, 'iptables-nft', '-P', 'INPUT', 'DROP')
  within(host, 'iptables-nft', '-A', 'INPUT', '-i', 'lo', '-j', 'ACCEPT')
  await until('rules for pods', async () => within(host, 'iptables-nft', '-S', 'INPUT').includes('--dport 53'))
  assert.ok(await asks())
  within(host, 'iptables-nft', '-P', 'INPUT', 'ACCEPT')
  assert.equal((await kubectl('', 'delete', 'pod', 'asks', '--wait=false')).code, 0)
})

test('rules that were flushed come back, and what cannot be helped is told', async () => {
  within(host, 'nft', 'flush ruleset')
  assert.equal(
    await until('the address of the client', async () => {
      const who = await seen(outside, address.host4, 8080)
      return who === address.out4 && who
    }),
    address.out4,
  )
  within(host, 'nft', 'table inet mine { chain f { type filter hook forward priority 0; policy drop; }; }')
  const warning = await until('a warning', async () => {
    const { stderr } = await docker.run(['info'])
    return stderr.includes('table inet mine') && stderr
  })
  assert.match(warning, /WARNING: chain f of nftables' table inet mine refuses forwarded packets/)
  within(host, 'nft', 'delete table inet mine')
})

test('published through the input rules: they decide', async () => {
  await ok('network', 'create', '-o', 'dev.slipway.network.publish=input', 'in')
  await runMirror('relayed', '--network', 'in', '-p', '8081:80')
  assert.notEqual(await answers(outside, address.host4, 8081), '')
  within(
    host,
    'nft',
    'table inet mine { chain i { type filter hook input priority 0; iifname up0 tcp dport { 8080, 8081 } drop; }; }',
  )
  assert.equal(await seen(outside, address.host4, 8081), '')
  assert.notEqual(await seen(outside, address.host4, 8080), '', 'elsewhere ports are forwarded, which is no input')
  assert.notEqual(await seen(host, '127.0.0.1', 8081), '')
  within(host, 'nft', 'delete table inet mine')
})
