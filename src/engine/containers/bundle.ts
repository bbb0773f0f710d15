import { statSync, writeFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import type { OciConfig } from '../../spec/oci/index.ts'
import { type ConfigInput, configText, ociConfig } from '../runtime/config.ts'
import { hostDevices, parseDeviceRule, requestedDevices } from '../runtime/devices.ts'
import { type ResolvedUser, resolveUserIn } from '../runtime/user.ts'
import type { Sandbox } from '../types.ts'
import type { Context } from './context.ts'
import { editedMounts, withEdits } from './device-edits.ts'
import { findInit } from './init.ts'
import { namespaces, shmOf } from './joins.ts'
import { linkVariables } from './links.ts'
import { makeMountPoints } from './mount-points.ts'
import { mergeEnv, runtimeEnv } from './process.ts'
import type { ContainerRecord } from './records.ts'
import { ociMount, Staging, sandboxFiles } from './sources.ts'
import { ensureWorkingDir } from './working-dir.ts'

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
  const staged = runtime.enter.length > 0
  const edits = await ctx.devices.requested(spec.deviceRequests ?? [])
  const own = sandboxFiles(sandbox, record)
  for (const mount of record.mounts) own.push(await ociMount(ctx, record, mount, staging, staged))
  const mounts = editedMounts(edits, own, (mount) =>
    staged && mount.type === 'bind'
      ? { ...mount, source: staging.bind(mount.source, statSync(mount.source).isDirectory()) }
      : mount,
  )
  if (spec.init)
    mounts.push({
      destination: '/sbin/docker-init',
      type: 'bind',
      source: findInit(),
      options: ['bind', 'ro', 'rprivate'],
    })
  makeMountPoints(ctx.sys.files, paths.rootfs, mounts)
  const targets = record.mounts.map(({ target }) => target)
  ensureWorkingDir(ctx, record, paths.rootfs, targets)
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
  const config = ociConfig(withEdits(input, edits), ctx.machine)
  await ctx.loadProfile(config.process.apparmorProfile)
  writeFileSync(join(paths.bundle, 'config.json'), configText(ctx.seccomp.apply(config, runtime)), { mode: 0o600 })
  return { user, config }
}
