/** What a pod asks for and may use in total. Source: component-helpers resource/helpers.go (sidecars included). */
import { quantityMilli, quantityValue } from '../../lib/quantity.ts'
import type { Container, PodSpec } from './generated/types.ts'

/** Amounts by resource name: cpu in thousandths, everything else in whole units (bytes). */
export type Amounts = Record<string, number>

/** A list of quantities as numbers: cpu in thousandths, everything else in whole units. */
export const amountsOf = (quantities: Record<string, string> | undefined): Amounts =>
  Object.fromEntries(
    Object.entries(quantities ?? {}).map(([name, text]) => [
      name,
      name === 'cpu' ? quantityMilli(text) : quantityValue(text),
    ]),
  )

const add = (to: Amounts, more: Amounts): Amounts => {
  const sum = { ...to }
  for (const [name, amount] of Object.entries(more)) sum[name] = (sum[name] ?? 0) + amount
  return sum
}
const max = (a: Amounts, b: Amounts): Amounts => {
  const most = { ...a }
  for (const [name, amount] of Object.entries(b)) most[name] = Math.max(most[name] ?? 0, amount)
  return most
}

/**
 * The larger of what all containers use together (sidecars among them) and what any init container needs while it runs beside
 * the sidecars started before it; plus overhead. Pod-level numbers, where given, take the place of the containers'.
 */
const total = (spec: PodSpec, of: 'requests' | 'limits'): Amounts => {
  const amounts = (container: Pick<Container, 'resources'>): Amounts => amountsOf(container.resources?.[of])
  let running: Amounts = {}
  for (const container of spec.containers) running = add(running, amounts(container))
  let sidecars: Amounts = {}
  let starting: Amounts = {}
  for (const container of spec.initContainers ?? []) {
    if (container.restartPolicy === 'Always') {
      sidecars = add(sidecars, amounts(container))
      running = add(running, amounts(container))
      starting = max(starting, sidecars)
    } else starting = max(starting, add(sidecars, amounts(container)))
  }
  const own = { ...max(running, starting), ...amountsOf(spec.resources?.[of]) }
  const overhead = amountsOf(spec.overhead)
  if (of === 'requests') return add(own, overhead)
  // A limit that does not exist is not raised by the overhead.
  return add(own, Object.fromEntries(Object.entries(overhead).filter(([name]) => name in own)))
}

export const podRequests = (spec: PodSpec): Amounts => total(spec, 'requests')
export const podLimits = (spec: PodSpec): Amounts => total(spec, 'limits')
