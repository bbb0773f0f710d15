export { builtinNames, type Functions, renderTemplate, TemplateError } from './execute.ts'
export { parseTemplate } from './parser.ts'
export { Absent, type GoMap, quote, Row, show, toJson, type Value } from './values.ts'
