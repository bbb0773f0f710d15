export { plainProgress } from './plain.ts'
export { answerOf } from './answers.ts'
