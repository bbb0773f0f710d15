export { createInformers } from './informers.ts'
