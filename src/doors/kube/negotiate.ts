import { accepts, parseAccept } from '../../lib/http/media.ts'
import { notAcceptable } from './refusals.ts'

/** The form an answer takes. */
export interface Form {
  encoding: 'json' | 'yaml'
  as: 'plain' | 'table' | 'metadata'
  contentType: string
}

const plain: Form = { encoding: 'json', as: 'plain', contentType: 'application/json' }
const transforms: Record<string, Form['as']> = {
  Table: 'table',
  PartialObjectMetadata: 'metadata',
  PartialObjectMetadataList: 'metadata',
}

/**
 * Picks the form of the answer by Accept. Protobuf is passed over: every client that asks for it takes JSON as well; one
 * that takes nothing else gets 406.
 */
export const negotiate = (accept: string | undefined): Form => {
  if (!accept || accept === 'application/json' || accept === '*/*') return plain
  for (const range of parseAccept(accept)) {
    const { as, g, v } = range.parameters
    const json = accepts(range, 'application/json')
    if (as) {
      const form = transforms[as]
      if (!json || !form || g !== 'meta.k8s.io' || (v !== 'v1' && v !== 'v1beta1')) continue
      return { encoding: 'json', as: form, contentType: `application/json;as=${as};g=${g};v=${v}` }
    }
    if (json) return plain
    if (accepts(range, 'application/yaml')) return { encoding: 'yaml', as: 'plain', contentType: 'application/yaml' }
  }
  throw notAcceptable(['application/json', 'application/yaml'])
}
