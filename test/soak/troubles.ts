/** What goes wrong while users work. */
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Chance } from './chance.ts'
import type { World } from './world.ts'

/** Processes by their parents, as the kernel tells now. */
const childrenOf = (): Map<number, number[]> => {
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc').filter((each) => /^\d+$/.test(each))) {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
      children.set(parent, [...(children.get(parent) ?? []), Number(name)])
    } catch {
      // gone meanwhile
    }
  }
  return children
}

/** All that the process has begun, and they. */
export const descendants = (pid: number): number[] => {
  const children = childrenOf()
  const below = (parent: number): number[] => (children.get(parent) ?? []).flatMap((child) => [child, ...below(child)])
  return below(pid)
}

type Trouble = (world: World, chance: Chance, say: (what: string) => void) => Promise<void>

export const troubles: Readonly<Record<string, Trouble>> = {
  /** The daemon dies, and the next one takes its sockets. */
  kill: async (world, _chance, say) => {
    say('kill -9 of the daemon')
    await world.trouble(async () => {
      world.kill('alone')
      await world.up()
    })
  },
  /** Nobody is there for a while. */
  'kill-both': async (world, chance, say) => {
    say('kill -9 of the daemon and its supervisor')
    await world.trouble(async () => {
      world.kill('for good')
      await sleep(chance.between(0, 1500))
      await world.up()
    })
  },
  /** Twice, the second time while the next one starts. */
  'kill-twice': async (world, chance, say) => {
    say('kill -9 of the daemon, and of the next one while it starts')
    await world.trouble(async () => {
      const { daemon } = world
      world.kill('alone')
      for (let i = 0; i < 200 && (world.daemon === undefined || world.daemon === daemon); i++) await sleep(10)
      await sleep(chance.between(0, 400))
      world.kill('alone')
      await world.up()
    })
  },
  restart: async (world, _chance, say) => {
    say('daemon restart')
    await world.trouble(async () => {
      await world.ask(['slipway', 'daemon', 'restart'])
      await world.up()
    })
  },
  child: async (world, chance, say) => {
    for (let i = 0; i < 100; i++) {
      const children = world.daemon === undefined ? [] : descendants(world.daemon)
      if (children.length === 0) {
        await sleep(20)
        continue
      }
      const child = chance.one(children)
      await world.trouble(async () => {
        try {
          say(
            `kill -9 of a child: ${readFileSync(`/proc/${child}/cmdline`, 'utf8').replaceAll('\0', ' ').slice(0, 100)}`,
          )
          process.kill(child, 'SIGKILL')
        } catch {
          // gone meanwhile
        }
      })
      return
    }
  },
  full: async (world, chance, say) => {
    const room = chance.one([0, 0, 100_000, 1 << 20, 8 << 20])
    say(`the disk is full but for ${room} bytes`)
    await world.trouble(async () => {
      world.fill(room)
      await sleep(chance.between(300, 4000))
      world.free()
    })
  },
  'full-kill': async (world, chance, say) => {
    say('the disk is full, and the daemon is killed')
    await world.trouble(async () => {
      world.fill(chance.one([0, 100_000, 1 << 20]))
      await sleep(chance.between(300, 2000))
      world.kill('alone')
      await sleep(chance.between(0, 2000))
      world.free()
      await world.up()
    })
  },
  cuts: async (world, chance, say) => {
    world.cuts = chance.one([0.02, 0.1, 0.3])
    say(`connections to the registry are cut: ${world.cuts}`)
  },
}
