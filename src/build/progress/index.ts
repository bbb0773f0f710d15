export { type ProgressStyle, plainProgress } from './plain.ts'
