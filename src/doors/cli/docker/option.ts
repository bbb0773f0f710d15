/** Docker's flags that stand in several commands, and flags by the type of their value. */
import { type Flag, list, text, toggle } from '../framework/flags.ts'
import { csv } from '../../../lib/csv.ts'
import { filter, int, label } from './value.ts'

type Parse = (value: string) => unknown

export const parsed = (names: string, value: string, help: string, parse: Parse): Flag => ({
  ...text(names, value, help),
  parse,
})
export const parsedList = (names: string, help: string, parse: Parse, value = 'list'): Flag => ({
  ...list(names, value, help),
  parse,
})
export const integer = (names: string, help: string): Flag => parsed(names, 'int', help, int)
/** A list that also takes several values at once, between commas. */
export const strings = (names: string, help: string): Flag => parsedList(names, help, csv, 'strings')

export const filterFlag = (names: string, help: string): Flag =>
  // As one value: parseFlags joins arrays.
  parsedList(names, help, (value) => [filter(value)], 'filter')
export const labelFlag = (names: string, help: string): Flag => parsedList(names, help, label)
export const formatFlag = (names = '--format'): Flag =>
  text(names, 'string', "table, table TEMPLATE, json, or a Go template such as '{{.ID}}'")
export const inspectFormat: Flag = text('-f, --format', 'string', "json, or a Go template: '{{.Id}}'")
export const force = toggle('-f, --force', 'Do not ask')
export const quiet = (help: string): Flag => toggle('-q, --quiet', help)
export const noTrunc = toggle('--no-trunc', 'Whole ids and texts')
export const platform = (help: string): Flag => text('--platform', 'string', help)

/** Filters as the API takes them: { name: { value: true } }. */
export const filtersOf = (given: unknown, more: readonly [string, string][] = []): string | undefined => {
  const filters: Record<string, Record<string, boolean>> = {}
  for (const [name, value] of [...((given as [string, string][] | undefined) ?? []), ...more])
    if (name !== '') (filters[name] ??= {})[value] = true
  return Object.keys(filters).length > 0 ? JSON.stringify(filters) : undefined
}
