/**
 * Docker's commands where no docker client is installed: families (`slipway container …`), and all of them as
 * `slipway docker …`. Each family is loaded when it is called.
 */
import type { Command } from '../framework/command.ts'
import { family, single, type Subcommands } from '../framework/subcommands.ts'

const shared = { list: 'ls', remove: 'rm' }
const registries = async (): Promise<Subcommands> => {
  const { loginCommand: login, logoutCommand: logout } = await import('../docker/login.ts')
  return { login, logout }
}
const buildCommand = async () => (await import('../build/command.ts')).buildCommand

/** `prefix`: 'docker ' for those of `slipway docker`. */
type Load = (prefix?: string) => Promise<Command>

export const container: Load = async (prefix = '') =>
  family({
    name: `${prefix}container`,
    summary: 'Manage containers',
    other: { ...shared, ps: 'ls' },
    subcommands: (await import('../docker/container.ts')).containerCommands,
  })
export const image: Load = async (prefix = '') =>
  family({
    name: `${prefix}image`,
    summary: 'Manage images',
    other: shared,
    subcommands: {
      build: await buildCommand(),
      ...(await import('../docker/image.ts')).imageCommands,
      ...(prefix === '' ? await registries() : {}),
    },
  })
export const volume: Load = async (prefix = '') =>
  family({
    name: `${prefix}volume`,
    summary: 'Manage volumes',
    other: shared,
    subcommands: (await import('../docker/volume.ts')).volumeCommands,
  })
export const network: Load = async (prefix = '') =>
  family({
    name: `${prefix}network`,
    summary: 'Manage networks',
    other: shared,
    subcommands: (await import('../docker/network.ts')).networkCommands,
  })
export const system: Load = async (prefix = '') =>
  family({
    name: `${prefix}system`,
    summary: 'The instance as a whole',
    subcommands: (await import('../docker/system.ts')).systemCommands,
  })
export const builder: Load = async (prefix = '') =>
  family({
    name: `${prefix}builder`,
    summary: 'The build cache',
    subcommands: { build: await buildCommand(), prune: (await import('../docker/system.ts')).builderPrune },
  })
/** Only by docker's name: scripts call it so. */
const buildx: Load = async (prefix = '') =>
  family({
    name: `${prefix}buildx`,
    summary: 'The builder',
    subcommands: { build: await buildCommand(), prune: (await import('../docker/system.ts')).builderPrune },
  })
export const manifest: Load = async (prefix = '') =>
  family({
    name: `${prefix}manifest`,
    summary: 'What registries have',
    subcommands: { inspect: (await import('../docker/manifest.ts')).manifestInspect },
  })
export const login = async (): Promise<Command> => single('login', (await import('../docker/login.ts')).loginCommand)
export const logout = async (): Promise<Command> => single('logout', (await import('../docker/login.ts')).logoutCommand)
export const search = async (): Promise<Command> =>
  single('search', (await import('../docker/system.ts')).searchCommand)

/** The names that docker has without a family. */
export const docker = async (): Promise<Command> => {
  const { containerCommands } = await import('../docker/container.ts')
  const { imageCommands } = await import('../docker/image.ts')
  const { searchCommand, systemCommands } = await import('../docker/system.ts')
  const { ls: ps, inspect: _inspect, prune: _prune, ...containers } = containerCommands
  const { history, import: importRoot, load, ls: images, pull, push, rm: rmi, save, tag } = imageCommands
  const inner = { container, image, volume, network, system, builder, buildx, manifest }
  const names = Object.keys(inner) as (keyof typeof inner)[]
  const families = await Promise.all(names.map(async (name) => [name, await inner[name]('docker ')] as const))
  return family({
    name: 'docker',
    summary: "Docker's commands by their names: alias docker='slipway docker'",
    subcommands: {
      build: await buildCommand(),
      ...containers,
      ...{ ps, images, rmi, history, import: importRoot, load, pull, push, save, tag },
      events: systemCommands.events!,
      info: systemCommands.info!,
      inspect: (await import('../docker/inspect-any.ts')).inspectCommand,
      ...(await registries()),
      search: searchCommand,
      version: (await import('../docker/version.ts')).versionCommand,
    },
    families: Object.fromEntries(families),
  })
}
