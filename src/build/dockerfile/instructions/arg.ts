import { readFlags } from '../flags.ts'
import { instruction } from '../instruction.ts'
import type { Statement } from '../lines.ts'
import { looksSecret } from '../secret-names.ts'
import { SyntaxFault } from '../source.ts'
import { quotedWords } from '../words.ts'

export interface ArgDeclaration {
  key: string
  /** Not expanded; undefined: declared without a default. */
  value: string | undefined
}

/** Build arguments that every build knows; they leave no trace in history, image or cache key unless an ARG declares them. */
export const proxyArgs = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY'].flatMap((name) => [
  name,
  name.toLowerCase(),
])

/** Arguments for scanners: no variables of steps. */
export const scanArgs = { context: 'BUILDKIT_SBOM_SCAN_CONTEXT', stage: 'BUILDKIT_SBOM_SCAN_STAGE' } as const
const unset = new Set<string>(Object.values(scanArgs))

export const readArgs = (statement: Statement): ArgDeclaration[] => {
  readFlags(statement.flags)
  const words = quotedWords(statement.rest, statement.escape)
  if (words.length === 0) throw new SyntaxFault('ARG requires at least one argument')
  return words.map((word) => {
    const at = word.indexOf('=')
    if (at === 0) throw new SyntaxFault('ARG names can not be blank', { near: word })
    return at < 0 ? { key: word, value: undefined } : { key: word.slice(0, at), value: word.slice(at + 1) }
  })
}

export const arg = instruction<ArgDeclaration[]>('ARG', {
  parse: readArgs,
  lower(list, stage) {
    const set: [string, string | undefined][] = []
    // Of several in one instruction the later ones see the earlier ones: unlike ENV's.
    const over = new Map<string, string>()
    for (const declaration of list) {
      const key = stage.expand(declaration.key)
      if (looksSecret(key)) stage.warn('SecretsUsedInArgOrEnv', 'ARG', key)
      const fallback = (): string | undefined =>
        declaration.value === undefined ? stage.globalArg(key) : stage.expand(declaration.value, { over })
      const value = stage.buildArg(key) ?? fallback()
      set.push([key, value])
      if (value !== undefined && !unset.has(key)) over.set(key, value)
    }
    return {
      args: set,
      env: [...over],
      history: `ARG ${set.map(([key, value]) => (value === undefined ? key : `${key}=${value}`)).join(' ')}`,
    }
  },
})
