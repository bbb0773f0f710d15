export { createServiceProxy, type RunningServiceProxy, type ServiceProxyOptions } from './proxy.ts'
