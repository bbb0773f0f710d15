/** `system info`: what the engine is and has, in docker's layout. */
import { slipwayVersion as version } from '../commands/version.ts'
import type { GoMap } from '../../../lib/go-template/index.ts'
import { TemplateError } from '../../../lib/go-template/index.ts'
import { err, out } from '../framework/command.ts'
import { Exit } from '../framework/failure.ts'
import { withEngine } from './calls.ts'
import { fill, readable } from './format.ts'
import { binarySize } from './units.ts'

interface Info {
  Containers: number
  ContainersRunning: number
  ContainersPaused: number
  ContainersStopped: number
  Images: number
  ServerVersion: string
  Driver: string
  DriverStatus: [string, string][] | null
  LoggingDriver: string
  CgroupDriver: string
  CgroupVersion: string
  Plugins: Record<string, string[] | null>
  CDISpecDirs?: string[] | null
  DiscoveredDevices?: { Source: string; ID: string }[] | null
  Swarm: { LocalNodeState: string }
  Runtimes: Record<string, object>
  DefaultRuntime: string
  InitBinary: string
  ContainerdCommit: { ID: string }
  RuncCommit: { ID: string }
  InitCommit: { ID: string }
  SecurityOptions: string[] | null
  KernelVersion: string
  OperatingSystem: string
  OSType: string
  Architecture: string
  NCPU: number
  MemTotal: number
  Name: string
  ID: string
  DockerRootDir: string
  Debug: boolean
  HttpProxy: string
  HttpsProxy: string
  NoProxy: string
  Labels: string[] | null
  ExperimentalBuild: boolean
  RegistryConfig: {
    InsecureRegistryCIDRs: string[] | null
    IndexConfigs: Record<string, { Secure: boolean }>
    Mirrors: string[] | null
  }
  LiveRestoreEnabled: boolean
  Warnings: string[] | null
}

/** "name=seccomp,profile=builtin" → "seccomp" and what belongs to it. */
const securityLines = (options: readonly string[] | null): string[] =>
  (options ?? []).flatMap((option) => {
    const pairs = option.split(',').map((pair) => pair.split('=') as [string, string])
    return pairs.map(([key, value]) =>
      key === 'name' ? `  ${value}` : `   ${key[0]!.toUpperCase()}${key.slice(1)}: ${value}`,
    )
  })

const listed = (title: string, items: readonly string[] | null | undefined): string[] =>
  items?.length ? [` ${title}:`, ...items.map((item) => `  ${item}`)] : []

const runtimeLines = (info: Info): string[] => [
  ...listed('CDI spec directories', info.CDISpecDirs),
  ...listed(
    'Discovered Devices',
    info.DiscoveredDevices?.map(({ Source, ID }) => `${Source}: ${ID}`),
  ),
  ` Swarm: ${info.Swarm.LocalNodeState}`,
  ` Runtimes: ${Object.keys(info.Runtimes).sort().join(' ')}`,
  ` Default Runtime: ${info.DefaultRuntime}`,
  ` Init Binary: ${info.InitBinary}`,
  ` containerd version: ${info.ContainerdCommit.ID}`,
  ` runc version: ${info.RuncCommit.ID}`,
  ` init version: ${info.InitCommit.ID}`,
  ...(info.SecurityOptions?.length ? [' Security Options:', ...securityLines(info.SecurityOptions)] : []),
]

const registryLines = ({ RegistryConfig }: Info): string[] => {
  const insecure = Object.entries(RegistryConfig.IndexConfigs)
    .filter(([, index]) => !index.Secure)
    .map(([name]) => name)
  return [
    ...listed('Insecure Registries', [...insecure, ...(RegistryConfig.InsecureRegistryCIDRs ?? [])]),
    ...listed('Registry Mirrors', RegistryConfig.Mirrors),
  ]
}

const serverLines = (info: Info): string[] => [
  ` Containers: ${info.Containers}`,
  `  Running: ${info.ContainersRunning}`,
  `  Paused: ${info.ContainersPaused}`,
  `  Stopped: ${info.ContainersStopped}`,
  ` Images: ${info.Images}`,
  ` Server Version: ${info.ServerVersion}`,
  ` Storage Driver: ${info.Driver}`,
  ...(info.DriverStatus ?? []).map(([name, value]) => `  ${name}: ${value}`),
  ` Logging Driver: ${info.LoggingDriver}`,
  ` Cgroup Driver: ${info.CgroupDriver}`,
  ` Cgroup Version: ${info.CgroupVersion}`,
  ' Plugins:',
  ...['Volume', 'Network', 'Authorization', 'Log'].flatMap((kind) => {
    const names = info.Plugins[kind]
    return names?.length ? [`  ${kind}: ${names.join(' ')}`] : []
  }),
  ...runtimeLines(info),
  ` Kernel Version: ${info.KernelVersion}`,
  ` Operating System: ${info.OperatingSystem}`,
  ` OSType: ${info.OSType}`,
  ` Architecture: ${info.Architecture}`,
  ` CPUs: ${info.NCPU}`,
  ` Total Memory: ${binarySize(info.MemTotal)}`,
  ` Name: ${info.Name}`,
  ` ID: ${info.ID}`,
  ` Docker Root Dir: ${info.DockerRootDir}`,
  ` Debug Mode: ${info.Debug}`,
  ...(info.HttpProxy ? [` HTTP Proxy: ${info.HttpProxy}`] : []),
  ...(info.HttpsProxy ? [` HTTPS Proxy: ${info.HttpsProxy}`] : []),
  ...(info.NoProxy ? [` No Proxy: ${info.NoProxy}`] : []),
  ...listed('Labels', info.Labels),
  ` Experimental: ${info.ExperimentalBuild}`,
  ...registryLines(info),
  ` Live Restore Enabled: ${info.LiveRestoreEnabled}`,
]

export const info = withEngine(async ({ engine, shell, flags }) => {
  const format = (flags.format as string | undefined) ?? ''
  if (format !== '' && format !== 'json') readable(format)
  const about = await engine.json<Info>('/info')
  const client = { Debug: false, Version: version, Context: 'default', Plugins: [], Warnings: null }
  const whole = { ...about, ClientInfo: client }
  if (format === 'json') out(shell, JSON.stringify(whole))
  else if (format !== '')
    out(
      shell,
      filled(format, whole as unknown as GoMap, () => out(shell, '')),
    )
  else {
    out(shell, ['Client:', ` Version:    ${version}`, ' Context:    default', ' Debug Mode: false', ''].join('\n'))
    out(shell, ['Server:', ...serverLines(about), ''].join('\n'))
    for (const warning of about.Warnings ?? []) err(shell, warning)
  }
  return 0
})

const filled = (format: string, data: GoMap, failed: () => void): string => {
  try {
    return fill(format, data, 'error')
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error
    failed()
    const why = error.message.replace(
      /map has no entry for key "(\w+)"$/,
      "can't evaluate field $1 in type system.dockerInfo",
    )
    throw new Exit(1, why)
  }
}
