import type { Draft } from '../resource.ts'

export interface Column {
  name: string
  type?: string
  format?: string
  /** 1: only with -o wide. */
  priority?: number
  description?: string
  value(object: Draft, now: number): unknown
}
export const text = (name: string, value: Column['value'], priority = 0): Column => ({ name, value, priority })
export const count = (name: string, value: Column['value'], priority = 0): Column => ({
  name,
  value,
  type: 'integer',
  priority,
})
