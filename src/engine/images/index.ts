export { createImages } from './images.ts'
export { imageSettings } from './settings.ts'
