export { createPorts, type Ports, type PortTargets } from './ports.ts'
