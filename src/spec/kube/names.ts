/** Names of objects: Kubernetes' grammars (RFC 1123, RFC 1035) with its messages, and the suffixes of generateName. */
const label = '[a-z0-9]([-a-z0-9]*[a-z0-9])?'
const label1035 = '[a-z]([-a-z0-9]*[a-z0-9])?'
const re = (body: string): RegExp => new RegExp(`^${body}$`)
const labelRe = re(label)
const label1035Re = re(label1035)
const subdomainRe = re(`${label}(\\.${label})*`)
const qualified = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]'
const qualifiedRe = re(qualified)
const valueRe = re(`(${qualified})?`)

const tooLong = (max: number): string => `must be no more than ${max} characters`

/** Each returns the reasons why the text is not one; none when it is. */
export const isDns1123Label = (text: string): string[] => [
  ...(text.length > 63 ? [tooLong(63)] : []),
  ...(labelRe.test(text)
    ? []
    : [
        `a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '${label}')`,
      ]),
]
export const isDns1035Label = (text: string): string[] => [
  ...(text.length > 63 ? [tooLong(63)] : []),
  ...(label1035Re.test(text)
    ? []
    : [
        `a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '${label1035}')`,
      ]),
]
export const isDns1123Subdomain = (text: string): string[] => [
  ...(text.length > 253 ? [tooLong(253)] : []),
  ...(subdomainRe.test(text)
    ? []
    : [
        `a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '${label}(\\.${label})*')`,
      ]),
]
export const isQualifiedName = (text: string): string[] => {
  const parts = text.split('/')
  if (parts.length > 2)
    return [
      `a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '${qualified}') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ]
  const reasons: string[] = []
  const name = parts.at(-1)!
  if (parts.length === 2) {
    if (parts[0] === '') reasons.push('prefix part must be non-empty')
    else reasons.push(...isDns1123Subdomain(parts[0]!).map((reason) => `prefix part ${reason}`))
  }
  if (name === '') reasons.push('name part must be non-empty')
  else if (name.length > 63) reasons.push(`name part ${tooLong(63)}`)
  if (!qualifiedRe.test(name))
    reasons.push(
      `name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '${qualified}')`,
    )
  return reasons
}
export const isLabelValue = (text: string): string[] => [
  ...(text.length > 63 ? [tooLong(63)] : []),
  ...(valueRe.test(text)
    ? []
    : [
        `a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(${qualified})?')`,
      ]),
]
/** Names of RBAC objects and the like: anything that can be one segment of a path. */
export const isPathSegment = (text: string): string[] => {
  if (text === '.' || text === '..') return [`may not be '${text}'`]
  return ['/', '%'].filter((c) => text.includes(c)).map((c) => `may not contain '${c}'`)
}
export const isConfigMapKey = (text: string): string[] => [
  ...(text.length > 253 ? [tooLong(253)] : []),
  ...(/^[-._a-zA-Z0-9]+$/.test(text)
    ? []
    : [
        `a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')`,
      ]),
  ...(text === '.' || text === '..'
    ? [`must not be '${text}'`]
    : text.startsWith('..')
      ? [`must not start with '..'`]
      : []),
]
export const isPortName = (text: string): string[] => {
  if (text.length > 15) return ['must be no more than 15 characters']
  const reasons: string[] = []
  if (!/^[-a-z0-9]+$/.test(text)) reasons.push(`must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)`)
  if (!/[a-z]/.test(text)) reasons.push('must contain at least one letter (a-z)')
  if (text.includes('--')) reasons.push('must not contain consecutive hyphens')
  if (text.startsWith('-') || text.endsWith('-')) reasons.push('must not begin or end with a hyphen')
  return reasons
}
/** Since 1.32 almost anything printable but '='. */
export const isEnvVarName = (text: string): string[] =>
  /^[ -<>-~]+$/.test(text)
    ? []
    : [
        `a valid environment variable name must consist only of printable ASCII characters other than '=', and must not be empty (regex used for validation is '[ -<>-~]+')`,
      ]

const alphabet = 'bcdfghjklmnpqrstvwxz2456789'
/** Five characters no one reads as a word, appended to metadata.generateName (cut so that the name stays within 63). */
export const generatedName = (base: string, random: () => number): string => {
  let suffix = ''
  for (let i = 0; i < 5; i++) suffix += alphabet[Math.floor(random() * alphabet.length)]
  return base.slice(0, 58) + suffix
}
