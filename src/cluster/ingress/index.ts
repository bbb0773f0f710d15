export { createIngress } from './ingress.ts'
