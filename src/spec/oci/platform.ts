import { SlipwayError } from '../../errors.ts'
import type { Descriptor, Platform } from './image.ts'

const architectures: Record<string, { architecture: string; variant?: string }> = {
  x86_64: { architecture: 'amd64' },
  'x86-64': { architecture: 'amd64' },
  x64: { architecture: 'amd64' },
  aarch64: { architecture: 'arm64' },
  armhf: { architecture: 'arm', variant: 'v7' },
  armel: { architecture: 'arm', variant: 'v6' },
  i386: { architecture: '386' },
  ia32: { architecture: '386' },
}

/** Canonical form: 'x86_64' is amd64, arm64/v8 is arm64, arm is arm/v7 (containerd's normalisation). */
export const normalizePlatform = (platform: Platform): Platform => {
  const os = platform.os.toLowerCase() === 'macos' ? 'darwin' : platform.os.toLowerCase()
  const known = architectures[platform.architecture.toLowerCase()]
  const architecture = known?.architecture ?? platform.architecture.toLowerCase()
  let variant: string | undefined = (platform.variant || known?.variant || '').toLowerCase() || undefined
  if (architecture === 'arm64' && (variant === '8' || variant === 'v8')) variant = undefined
  if (architecture === 'amd64' && variant === 'v1') variant = undefined
  if (architecture === 'arm') variant = variant === undefined ? 'v7' : variant.startsWith('v') ? variant : `v${variant}`
  return {
    os,
    architecture,
    ...(variant !== undefined && { variant }),
    ...(platform['os.version'] !== undefined && { 'os.version': platform['os.version'] }),
  }
}

/** What Go has names for: only these may stand alone. */
const systems = new Set(
  'aix android darwin dragonfly freebsd hurd illumos ios js linux netbsd openbsd plan9 solaris windows zos'.split(' '),
)
const processors = new Set(
  '386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm'.split(
    ' ',
  ),
)

/** "linux/arm/v7", "linux/amd64", or an architecture or a system alone. 'invalid' otherwise, in containerd's words. */
export const parsePlatform = (text: string): Platform => {
  const parts = text.split('/')
  const wrong = parts.find((part) => !/^[A-Za-z0-9_.-]+$/.test(part))
  if (wrong !== undefined)
    throw new SlipwayError(
      'invalid',
      `"${wrong}" is an invalid component of "${text}": platform specifier component must match "^[A-Za-z0-9_.-]+$": invalid argument`,
    )
  if (parts.length > 3)
    throw new SlipwayError('invalid', `"${text}": cannot parse platform specifier: invalid argument`)
  if (parts.length === 1) {
    const system = normalizePlatform({ ...hostPlatform(), os: parts[0]! })
    if (systems.has(system.os)) return system
    const platform = normalizePlatform({ os: 'linux', architecture: parts[0]! })
    if (processors.has(platform.architecture)) return platform
    throw new SlipwayError('invalid', `"${text}": unknown operating system or architecture: invalid argument`)
  }
  return normalizePlatform({ os: parts[0]!, architecture: parts[1]!, variant: parts[2] })
}

export const formatPlatform = (platform: Platform): string =>
  [platform.os, platform.architecture, platform.variant].filter(Boolean).join('/')

/** What this machine runs natively. */
export const hostPlatform = (): Platform =>
  normalizePlatform({ os: 'linux', architecture: process.arch, ...(process.arch === 'arm' && { variant: 'v7' }) })

const armVariants = ['v5', 'v6', 'v7', 'v8']

/** How well an image for `offered` serves who wants `wanted`: 0 not at all, higher is better. */
export const platformRank = (offered: Platform, wanted: Platform): number => {
  const have = normalizePlatform(offered)
  const want = normalizePlatform(wanted)
  if (have.os !== want.os) return 0
  const version = want['os.version']
  if (version !== undefined && have['os.version'] !== version) return 0
  if (have.architecture === want.architecture) {
    if (have.variant === want.variant) return 100
    if (want.architecture === 'arm') {
      const distance = armVariants.indexOf(want.variant!) - armVariants.indexOf(have.variant!)
      return distance > 0 ? 50 - distance : 0
    }
    // x86-64 levels: a machine that runs v3 runs v1; without a wanted level only the base one is safe.
    if (want.architecture === 'amd64' && want.variant !== undefined)
      return (have.variant ?? 'v1') < want.variant ? 50 : 0
    return have.variant === undefined ? 40 : 0
  }
  // 64-bit machines run the 32-bit code of their family.
  if (want.architecture === 'arm64' && have.architecture === 'arm') return 10 + armVariants.indexOf(have.variant!)
  if (want.architecture === 'amd64' && have.architecture === '386') return 5
  return 0
}

/** The best manifest of an index, or undefined. Attestations ("unknown/unknown") are never chosen. */
export const choosePlatform = (manifests: Descriptor[], wanted: Platform): Descriptor | undefined => {
  let best: { rank: number; descriptor: Descriptor } | undefined
  for (const descriptor of manifests) {
    if (descriptor.annotations?.['vnd.docker.reference.type'] !== undefined) continue
    // An entry without a platform is a single-platform image that somebody put in an index.
    const rank = descriptor.platform ? platformRank(descriptor.platform, wanted) : 1
    if (rank > (best?.rank ?? 0)) best = { rank, descriptor }
  }
  return best?.descriptor
}
