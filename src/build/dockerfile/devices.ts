/** RUN --device=NAME[,required] (BuildKit frontend/dockerfile/instructions/commands_rundevice.go) */
import { messageOf } from '../../errors.ts'
import { csv } from '../../lib/csv.ts'
import { goBool } from '../../lib/go-bool.ts'
import { suggest } from './nearest.ts'
import { SyntaxFault } from './source.ts'

export interface DeviceWish {
  /** VENDOR/CLASS=NAME, with "*" for all of the kind; VENDOR/CLASS is the first. A class of devices may stand for the name. */
  name: string
  required: boolean
}

const fieldsOf = (text: string): string[] => {
  try {
    return csv(text)
  } catch (cause) {
    throw new SyntaxFault(`failed to parse csv devices: ${messageOf(cause)}`, { near: text })
  }
}

export const deviceOf = (text: string): DeviceWish => {
  const wish: DeviceWish = { name: '', required: false }
  for (const field of fieldsOf(text)) {
    const at = field.indexOf('=')
    const key = (at < 0 ? field : field.slice(0, at)).toLowerCase()
    const value = at < 0 ? undefined : field.slice(at + 1)
    const near = { near: field }
    if (key === 'required') {
      const required = value === undefined ? true : goBool(value)
      if (required === undefined) throw new SyntaxFault(`invalid value for ${key}: ${value}`, near)
      wish.required = required
    } else if (key === 'name' && value !== undefined) {
      if (wish.name !== '') throw new SyntaxFault(`device name already set to ${wish.name}`, near)
      wish.name = value
    } else if (wish.name === '') wish.name = field
    else if (value === undefined) throw new SyntaxFault(`invalid field '${field}' must be a key=value pair`, near)
    else throw new SyntaxFault(suggest(`unexpected key '${key}' in '${field}'`, key, ['name', 'required']), near)
  }
  return wish
}
