export { type ClusterDnsOptions, createClusterDns, type RunningClusterDns } from './dns.ts'
