import { release } from 'node:os'
import { SlipwayError } from '../../errors.ts'
import { kernelAtLeast } from '../../lib/kernel.ts'
import type { OciSeccomp, OciSyscall } from '../../spec/oci/index.ts'
import { defaultProfile } from './seccomp-default.ts'

/** A condition of docker's profile format: all parts must hold. */
export interface ProfileFilter {
  caps?: string[]
  arches?: string[]
  minKernel?: string
}
/** Docker's profile format (moby profiles/seccomp): the OCI one, with conditions. */
export interface Profile {
  defaultAction: string
  defaultErrnoRet?: number
  architectures?: string[]
  archMap?: { architecture: string; subArchitectures?: string[] | null }[]
  flags?: string[]
  syscalls: (OciSyscall & { name?: string; comment?: string; includes?: ProfileFilter; excludes?: ProfileFilter })[]
}

interface ProfileContext {
  capabilities: ReadonlySet<string>
  /** As Go names it: amd64, arm64 … */
  arch: string
  kernel: string
}

const goArch: Partial<Record<NodeJS.Architecture, string>> = {
  x64: 'amd64',
  arm64: 'arm64',
  arm: 'arm',
  riscv64: 'riscv64',
  s390x: 's390x',
  ppc64: 'ppc64le',
}
const ociArch: Record<string, string> = {
  amd64: 'SCMP_ARCH_X86_64',
  arm64: 'SCMP_ARCH_AARCH64',
  arm: 'SCMP_ARCH_ARM',
  riscv64: 'SCMP_ARCH_RISCV64',
  s390x: 'SCMP_ARCH_S390X',
  ppc64le: 'SCMP_ARCH_PPC64LE',
}
/** What this process runs on. */
export const profileContext = (capabilities: Iterable<string>): ProfileContext => ({
  capabilities: new Set(capabilities),
  arch: goArch[process.arch] ?? process.arch,
  kernel: release(),
})

const included = (filter: ProfileFilter | undefined, { arch, capabilities, kernel }: ProfileContext): boolean =>
  (!filter?.arches?.length || filter.arches.includes(arch)) &&
  (filter?.caps ?? []).every((cap) => capabilities.has(cap)) &&
  (filter?.minKernel === undefined || kernelAtLeast(kernel, filter.minKernel))

const excluded = (filter: ProfileFilter | undefined, { arch, capabilities, kernel }: ProfileContext): boolean =>
  (filter?.arches ?? []).includes(arch) ||
  (filter?.caps ?? []).some((cap) => capabilities.has(cap)) ||
  (filter?.minKernel !== undefined && kernelAtLeast(kernel, filter.minKernel))

/** The OCI profile that a docker profile means for these capabilities on this machine. */
export const resolveProfile = (profile: Profile, context: ProfileContext): OciSeccomp => {
  const own = profile.archMap?.find(({ architecture }) => architecture === ociArch[context.arch])
  const architectures = profile.architectures ?? (own ? [own.architecture, ...(own.subArchitectures ?? [])] : undefined)
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet === undefined ? {} : { defaultErrnoRet: profile.defaultErrnoRet }),
    ...(architectures === undefined ? {} : { architectures }),
    ...(profile.flags === undefined ? {} : { flags: profile.flags }),
    syscalls: profile.syscalls
      .filter(({ includes, excludes }) => included(includes, context) && !excluded(excludes, context))
      .map(({ name, names, action, errnoRet, args }) => ({
        names: names ?? (name === undefined ? [] : [name]),
        action,
        ...(errnoRet === undefined ? {} : { errnoRet }),
        ...(args?.length ? { args } : {}),
      })),
  }
}

/** `option` is 'default', 'unconfined' or a profile's JSON. */
export const seccompFor = (option: string, context: ProfileContext): OciSeccomp | undefined => {
  if (option === 'unconfined') return undefined
  if (option === '' || option === 'default' || option === 'builtin') return resolveProfile(defaultProfile, context)
  let profile: Profile
  try {
    profile = JSON.parse(option) as Profile
  } catch (cause) {
    throw new SlipwayError('bad-request', 'Decoding seccomp profile failed: it is not JSON', { cause })
  }
  if (typeof profile !== 'object' || profile === null || typeof profile.defaultAction !== 'string')
    throw new SlipwayError('bad-request', 'Decoding seccomp profile failed: defaultAction is missing')
  return resolveProfile({ ...profile, syscalls: profile.syscalls ?? [] }, context)
}
