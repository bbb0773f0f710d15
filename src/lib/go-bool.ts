const words = new Map([
  ...['1', 't', 'T', 'TRUE', 'true', 'True'].map((word) => [word, true] as const),
  ...['0', 'f', 'F', 'FALSE', 'false', 'False'].map((word) => [word, false] as const),
])

/** As Go's strconv.ParseBool, by which docker's clients and BuildKit read what is on or off; undefined: it is neither. */
export const goBool = (text: string): boolean | undefined => words.get(text)

/** What Go says of a text that is neither. */
export const notBool = (text: string): string => `strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`
