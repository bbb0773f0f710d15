/** Our rules among those of iptables, from what it lists to what is to be called: pure. */

/** What deletes the rules of a chain that bear the mark. */
export const marked = (listing: string, chain: string, mark: string): string[][] =>
  listing
    .replaceAll('"', '')
    .split('\n')
    .filter((line) => line.startsWith(`-A ${chain} `) && line.includes(` --comment ${mark} `))
    .map((line) => ['-D', ...line.split(' ').slice(1)])

/**
 * What has to be called to have these rules last in a chain whose policy drops, and gone from any other, given what
 * `iptables -S` says: pure. Empty: all is well. Rules are in the words and the order in which iptables lists them.
 */
const planLast = (listing: string, chain: string, mark: string, rules: readonly string[][]): string[][] => {
  const lines = listing.replaceAll('"', '').split('\n')
  const ours = rules.map((words) => [chain, ...words, '-m', 'comment', '--comment', mark, '-j', 'ACCEPT'])
  const wanted = lines.includes(`-P ${chain} DROP`) ? ours : []
  const stale = marked(listing, chain, mark).filter((words) => words.at(-1) === 'ACCEPT')
  const present = lines.filter((line) => line.startsWith(`-A ${chain} `))
  const last = present.slice(present.length - wanted.length)
  if (stale.length === wanted.length && wanted.every((words, i) => last[i] === `-A ${words.join(' ')}`)) return []
  return [...stale, ...wanted.map((words) => ['-A', ...words])]
}

/** `links` as iptables names them ("sw1a2b+"). */
export const planForward = (listing: string, mark: string, links: readonly string[]): string[][] =>
  planLast(
    listing,
    'FORWARD',
    mark,
    links.flatMap((link) => ['-i', '-o'].map((side) => [side, link])),
  )

/** What of this machine routed sandboxes have to reach, like the name server of a cluster. IPv4. */
export interface Admitted {
  address: string
  protocol: 'tcp' | 'udp'
  port: number
}

export const planInput = (listing: string, mark: string, link: string, admitted: readonly Admitted[]): string[][] =>
  planLast(
    listing,
    'INPUT',
    mark,
    admitted.map(({ address, protocol, port }) => {
      const to = ['-d', `${address}/32`, '-i', link]
      return [...to, '-p', protocol, '-m', protocol, '--dport', String(port)]
    }),
  )

/** A jump to DOCKER-USER where somebody has filled that chain and nothing leads there, as it does with dockerd: pure. */
export const planUserChain = (listing: string, mark: string): string[][] => {
  const lines = listing.split('\n')
  const filled = lines.some((line) => line.startsWith('-A DOCKER-USER ') && line !== '-A DOCKER-USER -j RETURN')
  const reached = lines.some((line) => / -j DOCKER-USER$/.test(line))
  if (!filled || reached) return []
  return [['-I', 'FORWARD', '-m', 'comment', '--comment', mark, '-j', 'DOCKER-USER']]
}
