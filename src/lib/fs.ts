/**
 * What short commands use of node:fs. `import … from 'node:fs'` evaluates all that module has, and by its promises loads readline
 * and watchers, which takes longer than most commands' own modules.
 */
const fs = process.getBuiltinModule('node:fs')

export const { closeSync, createReadStream, createWriteStream, existsSync, mkdirSync, mkdtempSync } = fs
export const { openSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } = fs
