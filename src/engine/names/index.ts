export { createNames, resolverAddress } from './names.ts'
