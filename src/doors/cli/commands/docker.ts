/** Docker's commands where no docker client is installed: families (`slipway container …`), and all of them as `slipway docker …`. */
import { buildCommand } from '../build/command.ts'
import { containerCommands } from '../docker/container.ts'
import { imageCommands } from '../docker/image.ts'
import { inspectCommand } from '../docker/inspect-any.ts'
import { loginCommand, logoutCommand } from '../docker/login.ts'
import { networkCommands } from '../docker/network.ts'
import { builderPrune, searchCommand, systemCommands } from '../docker/system.ts'
import { versionCommand } from '../docker/version.ts'
import { volumeCommands } from '../docker/volume.ts'
import type { Command } from '../framework/command.ts'
import { family, single, type Subcommands } from '../framework/subcommands.ts'

const registries: Subcommands = { login: loginCommand, logout: logoutCommand }
const shared = { list: 'ls', remove: 'rm' }

/** `prefix`: 'docker ' for those of `slipway docker`. */
const families = (prefix: string) => ({
  container: family({
    name: `${prefix}container`,
    summary: 'Manage containers',
    other: { ...shared, ps: 'ls' },
    subcommands: containerCommands,
  }),
  image: family({
    name: `${prefix}image`,
    summary: 'Manage images',
    other: shared,
    subcommands: { build: buildCommand, ...imageCommands, ...(prefix === '' ? registries : {}) },
  }),
  volume: family({ name: `${prefix}volume`, summary: 'Manage volumes', other: shared, subcommands: volumeCommands }),
  network: family({
    name: `${prefix}network`,
    summary: 'Manage networks',
    other: shared,
    subcommands: networkCommands,
  }),
  system: family({ name: `${prefix}system`, summary: 'The instance as a whole', subcommands: systemCommands }),
  builder: family({
    name: `${prefix}builder`,
    summary: 'The build cache',
    subcommands: { build: buildCommand, prune: builderPrune },
  }),
})

export const { container, image, volume, network, system, builder } = families('')
export const login = single('login', loginCommand)
export const logout = single('logout', logoutCommand)
export const search = single('search', searchCommand)

const { ls: ps, inspect: _inspect, prune: _containers, ...containers } = containerCommands
const { history, import: importRoot, load, ls: images, pull, push, rm: rmi, save, tag } = imageCommands

export const docker: Command = family({
  name: 'docker',
  summary: "Docker's commands by their names: alias docker='slipway docker'",
  subcommands: {
    build: buildCommand,
    ...containers,
    ...{ ps, images, rmi, history, import: importRoot, load, pull, push, save, tag },
    events: systemCommands.events!,
    info: systemCommands.info!,
    inspect: inspectCommand,
    ...registries,
    search: searchCommand,
    version: versionCommand,
  },
  families: families('docker '),
})
