import { type Reference, repositoryOf } from '../../spec/oci/index.ts'

/** A Debian image that can be made from the package archive. */
export interface DebianImage {
  /** Code name, as the archive has it. */
  suite: string
  slim: boolean
}

const suites: Record<string, string> = {
  latest: 'trixie',
  stable: 'trixie',
  '13': 'trixie',
  trixie: 'trixie',
  oldstable: 'bookworm',
  '12': 'bookworm',
  bookworm: 'bookworm',
  oldoldstable: 'bullseye',
  '11': 'bullseye',
  bullseye: 'bullseye',
  testing: 'forky',
  forky: 'forky',
  unstable: 'sid',
  sid: 'sid',
}

/** debian:SUITE[-slim] without a digest or a point release: those name exact bytes, which the archive cannot give back. */
export const debianImage = (reference: Reference): DebianImage | undefined => {
  if (repositoryOf(reference) !== 'docker.io/library/debian' || reference.digest !== undefined) return undefined
  const tag = reference.tag ?? 'latest'
  const slim = tag.endsWith('-slim')
  const suite = Object.hasOwn(suites, slim ? tag.slice(0, -5) : tag) ? suites[slim ? tag.slice(0, -5) : tag] : undefined
  return suite === undefined ? undefined : { suite, slim }
}

/** Lines of /etc/apt/sources.list for the suite. */
export const sourcesOf = (suite: string, mirror: string, securityMirror: string): string[] =>
  suite === 'sid'
    ? [`deb ${mirror} sid main`]
    : [
        `deb ${mirror} ${suite} main`,
        `deb ${mirror} ${suite}-updates main`,
        `deb ${securityMirror} ${suite}-security main`,
      ]

/**
 * Where this machine itself gets Debian from, by its apt sources (one-line and deb822 texts): the archive and the security
 * archive. What is not Debian's (by its suites) is passed over.
 */
export const mirrorsIn = (texts: string[]): { archive?: string; security?: string } => {
  const found: { archive?: string; security?: string } = {}
  for (const { uri, suite } of texts.flatMap((text) => [...oneLine(text), ...deb822(text)])) {
    if (!/^https?:\/\//.test(uri)) continue
    const base = suite.replace(/-(security|updates|backports)$/, '').replace(/\/updates$/, '')
    if (!Object.hasOwn(suites, base)) continue
    if (/-security$|\/updates$/.test(suite)) found.security ??= uri.replace(/\/$/, '')
    else if (!suite.endsWith('-backports')) found.archive ??= uri.replace(/\/$/, '')
  }
  return found
}

interface Source {
  uri: string
  suite: string
}
const oneLine = (text: string): Source[] =>
  text.split('\n').flatMap((line) => {
    const match = /^\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+.*\bmain\b/.exec(line)
    return match ? [{ uri: match[1]!, suite: match[2]! }] : []
  })

const deb822 = (text: string): Source[] =>
  text.split(/\n\s*\n/).flatMap((stanza) => {
    const field = (name: string): string[] =>
      new RegExp(`^${name}:[ \\t]*(.*(?:\\n[ \\t]+.*)*)`, 'im').exec(stanza)?.[1]?.split(/\s+/).filter(Boolean) ?? []
    const usable =
      field('Types').includes('deb') && field('Components').includes('main') && !/^Enabled:\s*no/im.test(stanza)
    return usable ? field('URIs').flatMap((uri) => field('Suites').map((suite) => ({ uri, suite }))) : []
  })

/** dpkg's rules of the slim images: documentation, manuals and translations stay out, licences stay. */
export const slimRules = [
  'path-exclude=/usr/share/doc/*',
  'path-include=/usr/share/doc/*/copyright',
  'path-exclude=/usr/share/groff/*',
  'path-exclude=/usr/share/info/*',
  'path-exclude=/usr/share/linda/*',
  'path-exclude=/usr/share/lintian/overrides/*',
  'path-exclude=/usr/share/locale/*',
  'path-exclude=/usr/share/man/*',
]

/** Configuration that suits an image: no caches, no service starts, no suggestions kept. By path. */
export const imageFiles = (image: DebianImage): Record<string, { text: string; mode?: number }> => ({
  'etc/apt/apt.conf.d/docker-clean': {
    text: `# An image is no place for a package cache: it is emptied after each use.
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; };
APT::Update::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
`,
  },
  'etc/apt/apt.conf.d/docker-autoremove-suggests': { text: 'Apt::AutoRemove::SuggestsImportant "false";\n' },
  'etc/apt/apt.conf.d/docker-gzip-indexes': {
    text: 'Acquire::GzipIndexes "true";\nAcquire::CompressionTypes::Order:: "gz";\n',
  },
  'etc/apt/apt.conf.d/docker-no-languages': { text: 'Acquire::Languages "none";\n' },
  'etc/dpkg/dpkg.cfg.d/docker-apt-speedup': { text: 'force-unsafe-io\n' },
  ...(image.slim && { 'etc/dpkg/dpkg.cfg.d/docker': { text: `${slimRules.join('\n').replaceAll('=', ' ')}\n` } }),
  'usr/sbin/policy-rc.d': {
    text: '#!/bin/sh\n# No service is started while packages are installed.\nexit 101\n',
    mode: 0o755,
  },
  'etc/hostname': { text: 'debian\n' },
  'etc/resolv.conf': { text: '' },
})

/** What mmdebstrap leaves of the machine it ran on. */
export const omitted = [
  'etc/hostname',
  'etc/resolv.conf',
  'etc/dpkg/dpkg.cfg.d/99mmdebstrap',
  'etc/apt/apt.conf.d/99mmdebstrap',
]
