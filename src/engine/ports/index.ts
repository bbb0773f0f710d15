export { createPorts, type PortTargets } from './ports.ts'
