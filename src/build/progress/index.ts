export { plainProgress } from './plain.ts'
export { answerOf, type Question } from './answers.ts'
