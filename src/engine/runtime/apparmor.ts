/** AppArmor: the profile a container's programs run under, and the one they have when nobody names any. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import type { Processes } from '../../sys/sys.ts'
import type { SecurityOptions } from '../types.ts'

/** dockerd's name for its own: whoever reads `docker inspect`, or has rules that name it as a peer, finds what is expected. */
const defaultProfile = 'docker-default'
const parser = '/sbin/apparmor_parser'
/** The kernel's list of what is loaded, a line each: "NAME (enforce)". */
const loadedProfiles = '/sys/kernel/security/apparmor/profiles'

/** What the system's AppArmor configuration has that a profile can build on. */
interface ProfileInput {
  /** The profile this daemon runs under itself, or 'unconfined': it signals containers. */
  daemon: string
  /** Is there such a file below /etc/apparmor.d? */
  has(file: string): boolean
}

/**
 * As strict as dockerd's (moby profiles/apparmor): no mounts; nothing is written below /proc besides what belongs to
 * processes and to System V memory and semaphores, nor below /sys besides cgroups; what tells of the machine is not read;
 * tracing ends at the profile's border, and so do signals, except from those that run containers.
 */
export const profileText = ({ daemon, has }: ProfileInput): string => {
  const signallers = [...new Set(['unconfined', 'runc', 'crun', daemon])]
  // Patterns know no "all but": each line excludes what differs from the permitted name one letter later.
  const rules = [
    ...(has('abstractions/base') ? ['include <abstractions/base>'] : []),
    'network,',
    'capability,',
    'file,',
    'umount,',
    'deny mount,',
    ...signallers.map((peer) => `signal (receive) peer=${peer},`),
    `signal (send, receive) peer=${defaultProfile},`,
    `ptrace (trace, read, tracedby, readby) peer=${defaultProfile},`,
    'deny @{PROC}/* w,',
    'deny @{PROC}/{[^0-9s],s[^y],sy[^s],sys[^/]}*/** w,',
    'deny @{PROC}/sys/[^k]** w,',
    'deny @{PROC}/sys/kernel/{[^s],s[^eh],se[^m],sh[^m]}** w,',
    'deny @{PROC}/{kcore,sysrq-trigger} rwklx,',
    'deny /sys/{[^f]*,f[^s]*,fs/[^c]*,fs/c[^g]*,fs/cg[^r]*}/** wklx,',
    'deny /sys/{firmware,devices/virtual/powercap,kernel/security}/** rwklx,',
  ]
  return [
    // From 4.0 on "network" leaves unix sockets out.
    ...(has('abi/3.0') ? ['abi <abi/3.0>,'] : []),
    has('tunables/global') ? 'include <tunables/global>' : '@{PROC}=/proc/',
    `profile ${defaultProfile} flags=(attach_disconnected, mediate_deleted) {`,
    ...rules.map((rule) => `  ${rule}`),
    '}',
    '',
  ].join('\n')
}

/** Can the default profile be loaded? Within a container the list may be there, and is not ours to add to. */
export const canLoadProfiles = (): boolean =>
  existsSync(loadedProfiles) && existsSync(parser) && (process.env.container ?? '') === ''

/**
 * The profile in docker's words: '' where the kernel enforces none. What was asked for holds, for privileged containers as
 * well; without that, those are unconfined, and so are all where the default cannot be loaded.
 */
export const profileOf = (
  security: Pick<SecurityOptions, 'privileged' | 'apparmor'>,
  machine: { apparmor: boolean; defaultApparmor: boolean },
): string => {
  if (!machine.apparmor) return ''
  if (security.apparmor) return security.apparmor
  return security.privileged || !machine.defaultApparmor ? 'unconfined' : defaultProfile
}

const isLoaded = (name: string): boolean =>
  readFileSync(loadedProfiles, 'utf8')
    .split('\n')
    .some((line) => line.startsWith(`${name} (`))
/** Stacked profiles, and those of a namespace, are not in the list by that name. */
const isPlain = (name: string): boolean => !name.startsWith(':') && !name.includes('//&')

const ownProfile = (): string => readFileSync('/proc/self/attr/current', 'utf8').trim().split(' ')[0] || 'unconfined'

/**
 * Gives what makes sure, before a program is started, that its profile is loaded. The default belongs to no file of the
 * system, so who reloads or stops AppArmor takes it away, and it is loaded anew. One of that name that is there already
 * stays: a dockerd's is as good. 'bad-request': another one that is not loaded; 'internal': the parser failed.
 */
export const profileLoader = (processes: Pick<Processes, 'run'>) => {
  let loading: Promise<void> | undefined
  const load = async (): Promise<void> => {
    const input = profileText({ daemon: ownProfile(), has: (file) => existsSync(join('/etc/apparmor.d', file)) })
    const argv = [parser, '--skip-cache', '--add']
    const { code, stderr } = await processes.run(argv, { input, timeoutMs: 60_000 })
    // Another daemon may have been first.
    if (code !== 0 && !isLoaded(defaultProfile))
      throw new SlipwayError(
        'internal',
        `the AppArmor profile ${defaultProfile} could not be loaded: ${stderr.trim()}`,
        {
          hint: `Run the container with --security-opt apparmor=unconfined, or mend what ${parser} says.`,
        },
      )
  }
  return async (profile: string | undefined): Promise<void> => {
    if (profile === undefined || !isPlain(profile) || !existsSync(loadedProfiles) || isLoaded(profile)) return
    if (profile !== defaultProfile || !canLoadProfiles())
      throw new SlipwayError('bad-request', `apparmor profile "${profile}" cannot be applied: it is not loaded`, {
        hint: 'Load it first: apparmor_parser -r FILE.',
      })
    loading ??= load().finally(() => (loading = undefined))
    await loading
  }
}
