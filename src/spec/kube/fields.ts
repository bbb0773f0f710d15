/** Field selectors: `metadata.name=x,status.phase!=Running`. Only equality exists; which fields are known is the server's matter. */
import { SlipwayError } from '../../errors.ts'

interface FieldRequirement {
  field: string
  equal: boolean
  value: string
}

/** Splits at separators that no backslash escapes. */
const split = (text: string): string[] => text.split(/(?<!\\),/)
const unescaped = (text: string): string => text.replace(/\\([\\,=])/g, '$1')

/** Throws bad-request with Kubernetes' words. */
export const parseFieldSelector = (text: string | undefined): FieldRequirement[] => {
  if (!text?.trim()) return []
  return split(text)
    .filter((term) => term !== '')
    .map((term) => {
      const parts = /^(.*?)(!=|==|=)(.*)$/s.exec(term)
      if (!parts)
        throw new SlipwayError('bad-request', `invalid selector: '${text}'; can't understand '${term}'`, {
          hint: 'Write it as field=value or field!=value.',
        })
      return { field: parts[1]!.trim(), equal: parts[2] !== '!=', value: unescaped(parts[3]!) }
    })
}

export const matchesFields = (requirements: FieldRequirement[], read: (field: string) => string): boolean => {
  for (const r of requirements) if ((read(r.field) === r.value) !== r.equal) return false
  return true
}
