/** Sandboxes (what containers share) and the networks they are attached to. */

/** What several containers can share: network, IPC and host name. A docker container has its own; a pod's containers share one. */
export interface SandboxSpec {
  id: string
  hostname: string
  /** Names others on its networks resolve it by (a container's name first), besides the host name, the short id and aliases. */
  names?: string[] | undefined
  domainname?: string | undefined
  network: SandboxNetwork
  ports: PublishedPort[]
  dns: { servers: string[]; searches: string[]; options: string[] }
  /** "name" → address; 'host-gateway' and 'sandbox:ID' (another's first address) are resolved. Go into /etc/hosts. */
  hosts: { name: string; address: string }[]
  sysctls: Record<string, string>
  labels: Record<string, string>
  shmSize?: number | undefined
  /** It has no IPC namespace and /dev/shm of its own: they are the host's, or its container's. */
  hostIpc?: boolean | undefined
}
export type SandboxNetwork =
  | { mode: 'none' }
  | { mode: 'host' }
  /** Share the network namespace (and hosts, resolv.conf, hostname files) of another sandbox. */
  | { mode: 'sandbox'; id: string }
  | { mode: 'attached'; attachments: Attachment[] }
export interface Attachment {
  /** Network id or name. */
  network: string
  ipv4?: string | undefined
  ipv6?: string | undefined
  mac?: string | undefined
  /** Link-local addresses the interface gets besides; nobody else is told of them. */
  linkLocal?: string[] | undefined
  /** Names that resolve to this endpoint on this network, besides the sandbox's own names. */
  aliases: string[]
  /** Names that only this sandbox has for others, as long as they are on this network too. */
  links?: { alias: string; name: string }[] | undefined
  /** Interface name inside; default eth0, eth1 … in order. */
  ifname?: string | undefined
  /** Of the networks that lead out, the one with the highest has the default route; then the first by name. */
  gwPriority?: number | undefined
  /** What it was asked for with, kept for whoever asked. */
  origin?: unknown
  /** Written below /proc/sys once the interface is there; IFNAME in a key stands for its name. */
  sysctls?: Record<string, string> | undefined
}
export interface PublishedPort {
  /** '' means every address, IPv4 and IPv6; '0.0.0.0' and '::' every one of their family. */
  hostIp: string
  /** 0: pick a free one; hostPortEnd makes a range to pick from. */
  hostPort: number
  hostPortEnd?: number | undefined
  containerPort: number
  protocol: 'tcp' | 'udp' | 'sctp'
}
export interface Endpoint {
  networkId: string
  networkName: string
  ifname: string
  /** Interface on our side. */
  hostIfname: string
  mac: string
  ipv4?: string | undefined
  ipv4PrefixLength?: number | undefined
  gateway4?: string | undefined
  ipv6?: string | undefined
  ipv6PrefixLength?: number | undefined
  gateway6?: string | undefined
  linkLocal?: string[] | undefined
  aliases: string[]
  links?: { alias: string; name: string }[] | undefined
  gwPriority?: number | undefined
  sysctls?: Record<string, string> | undefined
}
export interface Sandbox {
  spec: SandboxSpec
  state: 'stopped' | 'ready'
  endpoints: Endpoint[]
  /** As really bound: hostPort is 0 only where the network is routed, so that none is needed. */
  ports: PublishedPort[]
  /** Pinned namespace files; undefined: the host's. */
  namespaces: { net?: string | undefined; ipc?: string | undefined; uts?: string | undefined }
  /** Files to bind into each container: /etc/hosts, /etc/resolv.conf, /etc/hostname, and the /dev/shm directory (a tmpfs). */
  files: { hosts: string; resolvConf: string; hostname: string; shm: string | undefined }
}
export interface Sandboxes {
  create(spec: SandboxSpec): Promise<Sandbox>
  get(id: string): Sandbox | undefined
  list(): Sandbox[]
  /** Makes namespaces, interfaces, addresses, published ports and files. A taken port: 'conflict' that names the port and, where /proc tells, its owner. Started already: no-op. */
  start(id: string): Promise<Sandbox>
  /** Takes all of that down; the spec stays. Stopped or gone already: no-op. */
  stop(id: string): Promise<void>
  remove(id: string): Promise<void>
  /** On a running sandbox too. */
  connect(id: string, attachment: Attachment): Promise<Endpoint>
  disconnect(id: string, network: string): Promise<void>
  /** Replaces names other endpoints on the same networks can resolve it by. */
  rename(id: string, names: { hostname?: string; names: string[] }): Promise<void>
  /** Takes a line out of /etc/hosts that the sandbox was given by its spec. */
  removeHost(id: string, host: SandboxSpec['hosts'][number]): Promise<void>
}

export interface NetworkSpec {
  name: string
  /** bridge: a Linux bridge. routed: no bridge, a /32 route a sandbox (pods). null and host stand for the modes of those names. */
  driver: 'bridge' | 'routed' | 'macvlan' | 'ipvlan' | 'host' | 'null'
  internal: boolean
  attachable: boolean
  /** Absent: true. */
  ipv4?: boolean | undefined
  ipv6: boolean
  /** Without one of a family: a free subnet is picked. */
  ipam: { subnet?: string; gateway?: string; ipRange?: string; auxAddresses?: Record<string, string> }[]
  ipamOptions?: Record<string, string> | undefined
  /** Only holds a configuration for others; nobody can be on it. */
  configOnly?: boolean | undefined
  /** The network this one has its configuration of. */
  configFrom?: string | undefined
  options: Record<string, string>
  labels: Record<string, string>
  /** Do names of sandboxes resolve on it? False only for docker's default bridge. */
  dns: boolean
  /** A subnet that was picked stays for good. Otherwise it may be picked anew at a start while nobody is on the network. */
  keepSubnets?: boolean | undefined
}
export interface Network {
  id: string // 64 hex
  spec: NetworkSpec
  createdAt: number
  /** Interface name of the bridge, where there is one. */
  bridge?: string | undefined
  /** `gateway` is '' where none is kept. */
  subnets: { subnet: string; gateway: string }[]
}
export interface Networks {
  create(spec: NetworkSpec): Promise<Network>
  /** By id, unique id prefix or name. */
  get(reference: string): Network | undefined
  list(): Network[]
  /** 'conflict' while endpoints are on it. */
  remove(reference: string): Promise<void>
  /** What of this machine routed sandboxes have to reach, also where its firewall lets nothing in. Replaces what was said before. */
  admit(places: readonly { address: string; protocol: 'tcp' | 'udp'; port: number }[]): void
  /** Sentences for the user: what of this machine's firewall stops containers. */
  warnings(): string[]
  /** Of its interfaces, in bytes; undefined where the parent decides. */
  mtu(network: Network): number | undefined
  endpoints(reference: string): { sandboxId: string; name: string; endpoint: Endpoint }[]
}
