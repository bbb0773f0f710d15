import { SlipwayError } from '../../errors.ts'

/** The mount that the local driver's options (type, device, o) ask for; undefined: a plain directory. Source: docker's local volume driver, which follows mount(8). */
export const driverMount = (
  options: Record<string, string>,
): { type: string; source: string; options: string[] } | undefined => {
  const { type, device, o, ...others } = options
  const unknown = Object.keys(others).find((key) => key !== 'size')
  if (unknown !== undefined) throw new SlipwayError('bad-request', `invalid option: "${unknown}"`)
  if (type === undefined && device === undefined && o === undefined) return undefined
  if (device === undefined) throw new SlipwayError('bad-request', 'missing required option: "device"')
  if (type === undefined) throw new SlipwayError('bad-request', 'missing required option: "type"')
  const words = (o ?? '').split(',').filter(Boolean)
  // mount(8) takes the type 'none' with o=bind.
  const bind = type === 'none' && words.some((word) => word === 'bind' || word === 'rbind')
  return { type: bind ? 'bind' : type, source: device, options: words }
}
