export { createImages, type ImageRoom, type ImageSettings } from './images.ts'
export type { ImageUse } from './remove.ts'
