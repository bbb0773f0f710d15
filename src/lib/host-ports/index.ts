export { BindError, type HeldPort, holdPort, type Protocol, type Target } from './hold.ts'
export { type PortOwner, portOwner } from './owner.ts'
