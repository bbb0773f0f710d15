export { createImages, type ImageRoom } from './images.ts'
export type { ImageUse } from './remove.ts'
