import { SlipwayError } from '../../errors.ts'
import type { Firewall } from '../sys.ts'
import type { RunIn } from './links.ts'
import { generation, hasTable } from './netfilter.ts'
import { must, run } from './processes.ts'

const largeOutput = 64 << 20

type Tables = { nftables: { table?: { family: string; name: string } }[] }

export const createFirewall = (runIn: RunIn): Firewall => {
  const tables = async (netns: string | undefined) => {
    const { stdout } = await runIn(must, netns, ['nft', '-j', 'list', 'tables'], { maxOutput: largeOutput })
    return (JSON.parse(stdout) as Tables).nftables.flatMap(({ table }) => table ?? [])
  }
  return {
    has: hasTable,
    generation,
    sets: async (family) => (await must(['nft', 'list', 'sets', family], { maxOutput: largeOutput })).stdout,
    async apply(script, options = {}) {
      if (script.trim() === '') return
      await runIn(must, options.netns, ['nft', '-f', '-'], { input: script })
    },
    async list(family, table, options = {}) {
      const result = await runIn(run, options.netns, ['nft', 'list', 'table', family, table], {
        maxOutput: largeOutput,
      })
      if (result.code === 0) return result.stdout
      const all = await tables(options.netns)
      if (!all.some((other) => other.family === family && other.name === table)) return undefined
      throw new SlipwayError('internal', `nft list table ${family} ${table}: ${result.stderr.trim()}`)
    },
    async forget(filter) {
      // 0: some deleted. 1: none matched. Others: wrong arguments, no permission.
      const result = await run(['conntrack', '-D', ...filter])
      if (result.code > 1)
        throw new SlipwayError('internal', `conntrack -D ${filter.join(' ')}: ${result.stderr.trim()}`)
    },
  }
}
