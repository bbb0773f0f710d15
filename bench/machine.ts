import { type Env, must, run } from './program.ts'

/** A network namespace that is a machine for one engine, with a neighbour beside it: no rules of others, no traffic of others. */
export interface Machine {
  /** In front of what runs on the machine, and of what runs beside it. */
  on: string[]
  beside: string[]
  /** By which the neighbour knows the machine. */
  address: string
  remove(): Promise<void>
}

export const createMachine = async (name: string, env: Env): Promise<Machine> => {
  const [machine, neighbour] = [`swb${process.pid}${name}`, `swb${process.pid}${name}n`]
  const on = ['nsenter', `--net=/run/netns/${machine}`]
  const beside = ['nsenter', `--net=/run/netns/${neighbour}`]
  const remove = async (): Promise<void> => {
    for (const netns of [machine, neighbour]) await run(['ip', 'netns', 'del', netns], env)
  }
  try {
    for (const netns of [machine, neighbour]) await must(['ip', 'netns', 'add', netns], env)
    const cable = [
      'ip',
      'link',
      'add',
      'up0',
      'type',
      'veth',
      'peer',
      'name',
      'up0',
      'netns',
      `/run/netns/${neighbour}`,
    ]
    await must([...on, ...cable], env)
    for (const [enter, address] of [
      [on, '192.0.2.1/24'],
      [beside, '192.0.2.9/24'],
    ] as const) {
      await must([...enter, 'ip', 'addr', 'add', address, 'dev', 'up0'], env)
      for (const link of ['lo', 'up0']) await must([...enter, 'ip', 'link', 'set', link, 'up'], env)
    }
    return { on, beside, address: '192.0.2.1', remove }
  } catch (error) {
    await remove()
    throw error
  }
}
