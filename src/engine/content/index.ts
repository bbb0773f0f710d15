export { type Content, createContent } from './content.ts'
export type { GrowingBlob } from './growing.ts'
