export { createNames, hostServers, type Names, resolverAddress } from './names.ts'
