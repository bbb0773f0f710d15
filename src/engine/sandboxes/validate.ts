import { SlipwayError } from '../../errors.ts'
import type { SandboxSpec } from '../types.ts'

/** These become parts of lines in /etc/hosts and /etc/resolv.conf: none of them may begin a line of its own. */
export const validate = ({ hostname, domainname, hosts, dns }: SandboxSpec): void => {
  const texts: [string, string[]][] = [
    ['hostname', [hostname]],
    ['domain name', domainname === undefined ? [] : [domainname]],
    // Several names may stand for one host.
    ['host', hosts.flatMap(({ name, address }) => [name.replaceAll(' ', ''), address])],
    ['DNS server', dns.servers],
    ['DNS search domain', dns.searches],
    ['DNS option', dns.options],
  ]
  for (const [what, values] of texts)
    for (const value of values)
      if (/[\s\u0000-\u001f#]/.test(value))
        throw new SlipwayError('bad-request', `invalid ${what} format: ${JSON.stringify(value)}`)
}
