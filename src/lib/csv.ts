/** One record of comma-separated values (RFC 4180); a field in double quotes may hold commas, and quotes twice. */
export const csv = (text: string): string[] => {
  const fields: string[] = []
  const field = /(?:"((?:[^"]|"")*)"|([^,"]*))(,|$)/gy
  for (;;) {
    const match = field.exec(text)
    if (!match) throw new Error('parse error: bare " in non-quoted field')
    fields.push(match[1]?.replaceAll('""', '"') ?? match[2]!)
    if (match[3] === '') return fields
  }
}
