/** What a Compose file says and the destination cannot keep, for people and for programs. */
import { SlipwayError } from '../../errors.ts'
import type { Loss } from '../types.ts'

const place = ({ at }: Loss): string => (at?.line === undefined ? '' : ` (${at.file}:${at.line}:${at.column ?? 1})`)

/** One paragraph a loss, refusals first; '' when there are none. */
export const renderLosses = (losses: Loss[]): string =>
  [...losses]
    .sort((a, b) => Number(b.severity === 'refuse') - Number(a.severity === 'refuse'))
    .map(
      (loss) =>
        `${loss.severity === 'refuse' ? 'refused' : 'warning'}: ${loss.path}: ${loss.message}${place(loss)}\n  ${loss.hint}\n`,
    )
    .join('')

/** The same as JSON: {"losses": [{path, severity, message, hint, service?, file?, line?, column?}]} */
export const renderLossesJson = (losses: Loss[]): string => {
  const plain = losses.map(({ at, ...loss }) => ({
    ...loss,
    ...(at && { file: at.file, line: at.line, column: at.column }),
  }))
  return `${JSON.stringify({ losses: plain }, undefined, 2)}\n`
}

/**
 * Throws 'unsupported' with every refusal that `allowed` (--allow-loss: paths, prefixes of paths, or 'all') does not name;
 * `strict` counts warnings too.
 */
export const refuseLosses = (losses: Loss[], options: { allowed?: string[]; strict?: boolean } = {}): void => {
  const allowed = options.allowed ?? []
  const isAllowed = ({ path }: Loss): boolean =>
    allowed.some((a) => a === 'all' || path === a || path.startsWith(`${a}.`))
  const open = losses.filter((loss) => (options.strict || loss.severity === 'refuse') && !isAllowed(loss))
  if (!open.length) return
  const [first] = open as [Loss]
  throw new SlipwayError('unsupported', open.map((l) => `${l.path}: ${l.message}`).join('\n'), {
    hint:
      open.length === 1
        ? `${first.hint} Or go without it: --allow-loss ${first.path}`
        : `${open.map((l) => l.hint).join(' ')} Or go without: --allow-loss PATH.`,
    ...(first.at && { at: first.at }),
    details: { losses: open },
  })
}
