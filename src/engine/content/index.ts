export { type Content, createContent } from './content.ts'
