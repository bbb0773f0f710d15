export { checkDeviceName, checkKind, isQualifiedDevice, splitDevice } from './names.ts'
export type * from './specification.ts'
export { joinEdits, readSpecification } from './specification.ts'
