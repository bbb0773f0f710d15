export { controllerName, createIngress, type IngressOptions, type RunningIngress } from './ingress.ts'
