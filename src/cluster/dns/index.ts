export { createClusterDns } from './dns.ts'
