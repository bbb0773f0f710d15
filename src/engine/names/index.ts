export { createNames, type Names, resolverAddress } from './names.ts'
