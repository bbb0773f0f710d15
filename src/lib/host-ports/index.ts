export { BindError, type HeldPort, holdPort } from './hold.ts'
export { portOwner } from './owner.ts'
export { addressesBoundByOthers } from './bound.ts'
