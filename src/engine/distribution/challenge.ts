/** WWW-Authenticate (RFC 9110 section 11.6.1): the challenges of one or more headers, parameters by lower-case name. */
interface Challenge {
  scheme: string
  parameters: Record<string, string>
}

export const parseChallenges = (header: string): Challenge[] => {
  const challenges: Challenge[] = []
  const token = /\s*,?\s*([A-Za-z0-9!#$%&'*+.^_`|~-]+)(?:\s*=\s*(?:"((?:\\.|[^"\\])*)"|([^\s,"]+)))?/y
  for (;;) {
    const match = token.exec(header)
    if (!match) return challenges
    const [, name, quoted, plain] = match
    const value = quoted?.replace(/\\(.)/g, '$1') ?? plain
    if (value === undefined) challenges.push({ scheme: name!.toLowerCase(), parameters: {} })
    else if (challenges.length > 0) challenges.at(-1)!.parameters[name!.toLowerCase()] = value
  }
}
