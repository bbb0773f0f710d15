import { chownSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import type { OciConfig } from '../../spec/oci/index.ts'
import { type ConfigInput, configText, ociConfig } from '../runtime/config.ts'
import { hostDevices, parseDeviceRule, requestedDevices } from '../runtime/devices.ts'
import { type ResolvedUser, resolveUserIn } from '../runtime/user.ts'
import type { Sandbox } from '../types.ts'
import type { Context } from './context.ts'
import { findInit } from './init.ts'
import { namespaces, shmOf } from './joins.ts'
import { linkVariables } from './links.ts'
import { mergeEnv, runtimeEnv } from './process.ts'
import type { ContainerRecord } from './records.ts'
import { ociMount, Staging, sandboxFiles } from './sources.ts'

const magic = /^\/proc\/(self|thread-self|\d+)(\/|$)/

/** Docker makes the working directory if the image lacks it. Never one that leads through /proc to an open descriptor. */
const ensureWorkingDir = (
  ctx: Context,
  record: ContainerRecord,
  cwd: string,
  owner: { uid: number; gid: number },
): void => {
  const inside = ctx.sys.files.resolveInRoot(record.paths.rootfs, cwd)
  if (magic.test(inside) || magic.test(cwd))
    throw new SlipwayError('bad-request', `the working directory '${cwd}' is invalid: it leads into /proc`)
  const covered = record.mounts.some(({ target }) => inside === target || inside.startsWith(`${target}/`))
  if (covered) return
  const path = join(record.paths.rootfs, inside)
  const stat = statSync(path, { throwIfNoEntry: false })
  if (stat?.isDirectory()) return
  if (stat) throw new SlipwayError('bad-request', `Cannot mkdir: ${cwd} is not a directory`)
  const first = mkdirSync(path, { recursive: true, mode: 0o755 })
  if (first !== undefined && owner.uid !== 0) chownSync(path, owner.uid, owner.gid)
}

/** Prepares mounts and writes config.json. The root file system is mounted and the sandbox ready. */
export const writeBundle = async (
  ctx: Context,
  record: ContainerRecord,
  sandbox: Sandbox,
): Promise<{ user: ResolvedUser; config: OciConfig }> => {
  const { spec, paths, process } = record
  const user = resolveUserIn(ctx.sys.files, paths.rootfs, process.user, spec.groups)
  const runtime = await ctx.sys.processes.ociRuntime()
  const staging = new Staging(ctx, paths.bundle)
  const mounts = sandboxFiles(sandbox, record)
  for (const mount of record.mounts) mounts.push(await ociMount(ctx, record, mount, staging, runtime.enter.length > 0))
  if (spec.init)
    mounts.push({
      destination: '/sbin/docker-init',
      type: 'bind',
      source: findInit(),
      options: ['bind', 'ro', 'rprivate'],
    })
  ensureWorkingDir(ctx, record, process.cwd, user)
  const requested = requestedDevices(spec.devices)
  const spaces = namespaces(ctx, record, sandbox)
  const hostname = spec.utsMode === 'host' ? undefined : sandbox.spec.hostname
  const input: ConfigInput = {
    process: {
      args: spec.init ? ['/sbin/docker-init', '--', ...process.args] : process.args,
      env: runtimeEnv(mergeEnv(linkVariables(spec, ctx.sandboxes), process.env), {
        hostname,
        tty: spec.tty,
        home: user.home,
      }),
      cwd: posix.normalize(process.cwd),
      user,
      tty: spec.tty,
      consoleSize: spec.consoleSize,
      security: spec.security,
      ulimits: spec.ulimits,
      oomScoreAdj: spec.oomScoreAdj,
    },
    rootfs: paths.rootfs,
    namespaces: spaces,
    mounts,
    shm: shmOf(ctx, record, sandbox),
    shmSize: sandbox.spec.shmSize,
    devices: spec.security.privileged ? [...hostDevices(), ...requested.devices] : requested.devices,
    deviceRules: [...requested.rules, ...spec.deviceCgroupRules.map(parseDeviceRule)],
    resources: spec.resources,
    // The UTS namespace has no other way in for it.
    sysctls:
      sandbox.spec.domainname && spaces.uts !== 'host'
        ? { 'kernel.domainname': sandbox.spec.domainname, ...spec.sysctls }
        : spec.sysctls,
    annotations: spec.annotations,
    cgroupsPath: record.cgroup,
  }
  const config = ociConfig(input, ctx.machine)
  writeFileSync(join(paths.bundle, 'config.json'), configText(ctx.seccomp.apply(config, runtime)), { mode: 0o600 })
  return { user, config }
}
