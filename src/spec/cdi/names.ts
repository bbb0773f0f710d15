/** Names of CDI devices: VENDOR/CLASS=NAME (Container Device Interface, SPEC.md "Kind" and "devices"). */

const letters = /^[A-Za-z]$/
const ends = /^[A-Za-z0-9]$/

/** Why it is no name of a vendor or class; undefined where it is one. */
const badPart = (name: string): string | undefined => {
  if (name === '') return 'empty name'
  if (!letters.test(name[0]!)) return `"${name}", should start with letter`
  const strange = [...name.slice(1, -1)].find((c) => !/[A-Za-z0-9_.-]/.test(c))
  if (strange !== undefined) return `invalid character '${strange}' in name "${name}"`
  return ends.test(name.at(-1)!) ? undefined : `"${name}", should end with a letter or digit`
}

/** Throws an Error that says what is wrong with `kind`, VENDOR/CLASS. */
export const checkKind = (kind: string): void => {
  const at = kind.indexOf('/')
  const [vendor, type] = at > 0 && at < kind.length - 1 ? [kind.slice(0, at), kind.slice(at + 1)] : ['', kind]
  const badVendor = badPart(vendor)
  if (badVendor !== undefined) throw new Error(`invalid vendor. ${badVendor}`)
  const badClass = badPart(type)
  if (badClass !== undefined) throw new Error(`invalid class. ${badClass}`)
}

/** Throws an Error that says what is wrong with a device's own name. */
export const checkDeviceName = (name: string): void => {
  if (name === '') throw new Error('invalid (empty) device name')
  if (!ends.test(name[0]!)) throw new Error(`invalid class "${name}", should start with a letter or digit`)
  const strange = [...name.slice(1, -1)].find((c) => !/[A-Za-z0-9_.:-]/.test(c))
  if (strange !== undefined) throw new Error(`invalid character '${strange}' in device name "${name}"`)
  if (!ends.test(name.at(-1)!)) throw new Error(`invalid name "${name}", should end with a letter or digit`)
}

/** The kind, and what follows the first "=". */
export const splitDevice = (device: string): [kind: string, name: string] => {
  const at = device.indexOf('=')
  return at < 0 ? [device, ''] : [device.slice(0, at), device.slice(at + 1)]
}

/** Is it VENDOR/CLASS=NAME? Paths of devices are not. */
export const isQualifiedDevice = (device: string): boolean => {
  const [kind, name] = splitDevice(device)
  try {
    checkKind(kind)
    checkDeviceName(name)
    return true
  } catch {
    return false
  }
}
