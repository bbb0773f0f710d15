import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import type { Log } from '../../lib/log.ts'
import type { OciRuntime } from '../sys.ts'
import { mount, unmount } from './libc.ts'
import { MS } from './mount-flags.ts'
import { withinMounts } from './mount-namespace.ts'
import { defaultEnv, must } from './processes.ts'
import { isPinned } from './shared-run.ts'

const unified = '/sys/fs/cgroup/unified'

/** crun refuses v1 hierarchies next to a v2 mount that has controllers; a v2 mount only for systemd's names is fine. */
export const refusedByCrun = (): boolean => {
  if (existsSync('/sys/fs/cgroup/cgroup.controllers')) return false
  const controllers = `${unified}/cgroup.controllers`
  return existsSync(controllers) && readFileSync(controllers, 'utf8').trim() !== ''
}

const findProgram = (name: string): string | undefined => {
  for (const dir of ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']) {
    const path = join(dir, name)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // Not here: the next directory may have it.
    }
  }
  return undefined
}

const versionOf = async (path: string): Promise<string> =>
  /version (\S+)/.exec((await must([path, '--version'], { timeoutMs: 10_000 })).stdout)?.[1] ?? 'unknown'

/**
 * Pins at `pin` a mount namespace that is the host's without the unified cgroup mount. It is a slave: what is mounted
 * later on shared mounts of the host appears in it. The pin's directory is a private mount, since the kernel refuses a
 * mount namespace pinned where it would propagate into itself.
 */
const pinNamespace = async (pin: string): Promise<void> => {
  const dir = dirname(pin)
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  if (statSync(dir).dev === statSync(dirname(dir)).dev && !existsSync(pin)) {
    mount(dir, dir, 'none', MS.bind, '')
    mount('none', dir, 'none', MS.private, '')
  }
  writeFileSync(pin, '', { mode: 0o600 })
  try {
    await must(['unshare', `--mount=${pin}`, '--propagation', 'slave', 'umount', '-l', unified], { timeoutMs: 10_000 })
  } catch (error) {
    unmount(pin, 2)
    unlinkSync(pin)
    unmount(dir, 2)
    throw error
  }
}

/**
 * A program that containers see as /proc/self/exe must not be writable for them: each time it is run, crun makes itself
 * a read-only bind mount and executes itself anew from there. With one made here, once, it can skip that, and is told so
 * by the variable. Gives the path to run; the program's own where a mount cannot be made.
 */
const protectedProgram = (program: string, target: string, log: Log) => {
  try {
    const [source, mounted] = [statSync(program), statSync(target, { throwIfNoEntry: false })]
    // A newer package is another file.
    if (mounted?.ino !== source.ino || mounted.dev !== source.dev) {
      if (mounted !== undefined) unmount(target, 2)
      writeFileSync(target, '', { mode: 0o700 })
      mount(program, target, 'none', MS.bind, '')
    }
    mount('none', target, 'none', MS.bind | MS.remount | MS.rdonly, '')
    return { path: target, env: { ...defaultEnv, _LIBCONTAINER_CLONED_BINARY: '1' } }
  } catch (error) {
    log.warn('the runtime has to copy itself each time', { error: String(error) })
    return { path: program, env: defaultEnv }
  }
}

/** Chooses once and remembers; a pin that has gone is made again. */
export const createOciRuntime = (
  runDir: string,
  log: Log,
  before: (target: string) => void,
): (() => Promise<OciRuntime>) => {
  const pin = join(runDir, 'runtime', 'mnt')
  let chosen: Promise<OciRuntime> | undefined

  const choose = async (): Promise<OciRuntime> => {
    const crun = findProgram('crun')
    const runc = findProgram('runc')
    if (crun !== undefined) {
      const version = await versionOf(crun)
      const ours = () => protectedProgram(crun, join(dirname(pin), 'crun'), log)
      if (!refusedByCrun()) {
        mkdirSync(dirname(pin), { recursive: true, mode: 0o700 })
        return { name: 'crun', version, enter: [], ...ours() }
      }
      const nsenter = findProgram('nsenter')
      if (nsenter !== undefined) {
        try {
          before(pin)
          if (!isPinned(pin)) await pinNamespace(pin)
          return { name: 'crun', version, enter: [nsenter, `--mount=${pin}`], ...withinMounts(pin, ours) }
        } catch (error) {
          log.warn('crun cannot be used on this cgroup layout', { error: String(error) })
        }
      }
    }
    if (runc !== undefined)
      return { name: 'runc', path: runc, version: await versionOf(runc), enter: [], env: defaultEnv }
    throw new SlipwayError('unavailable', 'no OCI runtime found', {
      hint: 'Install the package crun (or runc) on this machine.',
    })
  }

  return async () => {
    if (chosen !== undefined && (await chosen).enter.length > 0 && !isPinned(pin)) chosen = undefined
    chosen ??= choose()
    try {
      return await chosen
    } catch (error) {
      chosen = undefined
      throw error
    }
  }
}
