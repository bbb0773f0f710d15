/** Writes our nft table and keeps it there. */
import { isError } from '../../errors.ts'
import type { Log } from '../../lib/log.ts'
import type { Firewall } from '../../sys/sys.ts'
import type { Instance } from '../types.ts'
import { type Element, renderChange, renderTable } from './firewall.ts'

/** Keeps the kernel's table equal to the elements asked for. */
export interface RulesKeeper {
  /**
   * Resolves when the kernel has it. Before the first restore() it is only remembered: the table of an earlier daemon stays
   * in force until the new one can replace it as a whole.
   */
  change(change: { add?: readonly Element[]; remove?: readonly Element[] }): Promise<void>
  /** Writes the whole table. */
  restore(): Promise<void>
  /** Writes it only if the kernel has lost it. True: it had. */
  check(): Promise<boolean>
  remove(): Promise<void>
}

export const createRulesKeeper = (instance: Instance, firewall: Firewall, log: Log): RulesKeeper => {
  const wanted = new Map<string, Element>()
  const keyOf = ({ set, key }: Element): string => `${set} ${key}`
  let tail: Promise<unknown> = Promise.resolve()
  let written = false

  const inTurn = <T>(task: () => Promise<T>): Promise<T> => {
    const mine = tail.then(task, task)
    tail = mine.catch(() => {})
    return mine
  }
  const restore = async (): Promise<void> => {
    await firewall.apply(renderTable(instance, wanted.values()))
    written = true
  }

  return {
    change: ({ add = [], remove = [] }) =>
      inTurn(async () => {
        const gone = remove.filter((element) => wanted.delete(keyOf(element)))
        const fresh = add.filter(
          (element) => wanted.get(keyOf(element))?.value !== element.value || !wanted.has(keyOf(element)),
        )
        const replaced = fresh
          .filter((element) => wanted.has(keyOf(element)))
          .map((element) => wanted.get(keyOf(element))!)
        for (const element of fresh) wanted.set(keyOf(element), element)
        if (!written) return
        try {
          await firewall.apply(renderChange(instance, { add: fresh, remove: [...gone, ...replaced] }))
        } catch (error) {
          if (!isError(error, 'internal')) throw error
          // The table is gone or was changed by somebody: what we want is known, so write all of it.
          log.warn('writing the firewall table again', { table: instance.nftTable, error: error.message })
          try {
            await restore()
          } catch (again) {
            for (const element of fresh) wanted.delete(keyOf(element))
            throw again
          }
        }
      }),
    restore: () => inTurn(restore),
    check: () =>
      inTurn(async () => {
        if (!written || firewall.has('inet', instance.nftTable)) return false
        log.warn('the firewall table was removed by somebody; writing it again', { table: instance.nftTable })
        await restore()
        return true
      }),
    remove: () =>
      inTurn(async () => {
        await firewall.apply(`table inet ${instance.nftTable} {\n}\ndelete table inet ${instance.nftTable}\n`)
        written = false
      }),
  }
}
