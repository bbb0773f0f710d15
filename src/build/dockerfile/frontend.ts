/** `# syntax=IMAGE`: which frontend a file is written for. There is one here, for the language of docker/dockerfile. */

const ours = /(^|\/)dockerfile(-upstream)?$/

/** The frontend's image, where it is another one than Docker's (under whatever registry or mirror), with the usual names of it. */
export const foreignFrontend = (syntax: string | undefined): string | undefined => {
  const image = syntax?.split(/\s/, 1)[0]
  if (!image || image === 'dockerfile.v0') return undefined
  const repository = image.replace(/@.*$/, '').replace(/:[^/]*$/, '')
  return ours.test(repository) ? undefined : image
}

const directive = (mark: string): RegExp => new RegExp(`^${mark}\\s*([a-zA-Z][a-zA-Z0-9]*)\\s*=\\s*(.+?)\\s*$`)
const marks = [directive('#'), directive('//')]

/**
 * The frontend that a file names, whatever its language: a directive behind "#" or "//" at its top, or a key of the JSON object
 * that it is (BuildKit frontend/dockerfile/parser/directives.go, DetectSyntax).
 */
export const syntaxOf = (text: string): string | undefined => {
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/)
  if (lines[0]?.startsWith('#!')) lines.shift()
  for (const mark of marks)
    for (const line of lines) {
      const [, name, value] = mark.exec(line.trim()) ?? []
      if (name === undefined) break
      if (name.toLowerCase() === 'syntax') return value
    }
  return lines[0]?.trimStart().startsWith('{') ? ofObject(lines.join('\n')) : undefined
}

const ofObject = (text: string): string | undefined => {
  try {
    const { syntax } = JSON.parse(text) as { syntax?: unknown }
    return typeof syntax === 'string' ? syntax : undefined
  } catch {
    return undefined // the parser says what it is not
  }
}
