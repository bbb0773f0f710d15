export { plainProgress } from './plain.ts'
