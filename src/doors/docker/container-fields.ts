/** How fields of a request are read: empty, zero and absent mean the same. */
import { createHash } from 'node:crypto'
import { SlipwayError } from '../../errors.ts'

export const bad = (message: string, hint?: string): SlipwayError => new SlipwayError('bad-request', message, { hint })
export const defined = <T extends Record<string, unknown>>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } =>
  Object.fromEntries(Object.entries(fields).filter(([, v]) => v !== undefined && v !== null)) as never
export const positive = (n: number | null | undefined): number | undefined => (n ? n : undefined)

/** What identifies a container's place on a network. */
export const endpointId = (networkId: string, sandboxId: string): string =>
  createHash('sha256').update(`${networkId}/${sandboxId}`).digest('hex')
