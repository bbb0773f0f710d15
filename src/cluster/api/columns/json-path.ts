/** The JSONPath that printer columns and selectable fields may use: .a.b, ['a'], [0], [*], [?(@.type=="X")]. */
const step = /^(?:\.([\w-]+)|\['([^']+)'\]|\[(\d+)\]|\[(\*)\]|\[\?\(@\.([\w.]+)\s*==\s*["']([^"']*)["']\)\])/

export const jsonPath = (object: unknown, path: string): unknown[] => {
  let found: unknown[] = [object]
  let rest = path.replace(/^\{?\$?/, '').replace(/\}$/, '')
  if (rest !== '' && !rest.startsWith('.') && !rest.startsWith('[')) rest = `.${rest}`
  while (rest !== '') {
    const match = step.exec(rest.replace(/\\\./g, '\u0000'))
    if (!match) return []
    const [whole, dotted, quoted, index, star, field, wanted] = match
    const name = (dotted ?? quoted)?.replaceAll('\u0000', '.')
    rest = rest.replace(/\\\./g, '\u0000').slice(whole.length).replaceAll('\u0000', '\\.')
    found = found.flatMap((value): unknown[] => {
      if (value === null || typeof value !== 'object') return []
      if (name !== undefined) return name in value ? [(value as Record<string, unknown>)[name]] : []
      const items = Object.values(value)
      if (index !== undefined) return Number(index) < items.length ? [items[Number(index)]] : []
      if (star) return items
      return items.filter((item) => String(jsonPath(item, `.${field}`)[0]) === wanted)
    })
  }
  return found
}
