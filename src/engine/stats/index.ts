import { readFileSync } from 'node:fs'
import type { Namespaces } from '../../sys/sys.ts'
import type { ContainerStats } from '../types.ts'

/** /proc/net/dev: two lines of titles, then "IFNAME: 8 receive counters, 8 transmit counters". */
const parseNetDev = (text: string): ContainerStats['networks'] =>
  Object.fromEntries(
    text
      .split('\n')
      .slice(2)
      .flatMap((line) => {
        const [name, counters] = line.split(':')
        if (name === undefined || counters === undefined || name.trim() === 'lo') return []
        const [rxBytes, rxPackets, rxErrors, rxDropped, , , , , txBytes, txPackets, txErrors, txDropped] = counters
          .trim()
          .split(/\s+/)
          .map(Number)
        const row = { rxBytes, rxPackets, rxErrors, rxDropped, txBytes, txPackets, txErrors, txDropped }
        return [[name.trim(), row as ContainerStats['networks'][string]]]
      }),
  )

/** Counters as seen inside a pinned network namespace. */
export const networkStats = (namespaces: Namespaces, netns: string): ContainerStats['networks'] =>
  parseNetDev(namespaces.within(netns, () => readFileSync('/proc/thread-self/net/dev', 'utf8')))
