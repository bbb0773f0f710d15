export { answerOf } from './answers.ts'
export { plainProgress } from './plain.ts'
