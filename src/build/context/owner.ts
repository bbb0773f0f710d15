/** `--chown=user:group` against the files of the image that is written to. */
import { closeSync, constants, fstatSync, readFileSync } from 'node:fs'
import { isError } from '../../errors.ts'
import type { SpecialFiles } from '../../sys/sys.ts'
import { SyntaxFault } from '../dockerfile/source.ts'

export interface Owner {
  uid: number
  gid: number
}

/** A number needs no file; a user without a group has the group of that number, or the one passwd names. */
export const ownerOf = (files: SpecialFiles, root: string, wanted: string | undefined): Owner | undefined => {
  if (wanted === undefined || wanted === '') return undefined
  const [user = '', group] = wanted.split(':')
  const account = user === '' ? undefined : /^\d+$/.test(user) ? number(user) : byName(files, root, '/etc/passwd', user)
  const uid = account === undefined ? 0 : typeof account === 'number' ? account : Number(account[2])
  if (group === undefined || group === '') {
    return { uid, gid: account === undefined ? 0 : typeof account === 'number' ? account : Number(account[3]) }
  }
  const gid = /^\d+$/.test(group) ? number(group) : Number(byName(files, root, '/etc/group', group)[2])
  return { uid, gid }
}

const number = (text: string): number => {
  const value = Number(text)
  if (value > 0xffff_fffe) throw new SyntaxFault(`invalid user or group id: ${text}`, { near: text })
  return value
}

const byName = (files: SpecialFiles, root: string, path: string, name: string): string[] => {
  const row = readInRoot(files, root, path)
    .split('\n')
    .map((line) => line.trim().split(':'))
    .find(([first]) => first === name)
  if (row) return row
  const what = path === '/etc/passwd' ? 'user' : 'group'
  throw new SyntaxFault(
    `unable to find ${what} ${name}: no matching entries in ${what === 'user' ? 'passwd' : what} file`,
    {
      near: name,
      hint: `The ${what} has to exist in ${path} of the image when files are copied; a number always works.`,
    },
  )
}

const largest = 8 << 20

/** A regular file inside the root, whatever links the image holds; anything else counts as empty. */
const readInRoot = (files: SpecialFiles, root: string, path: string): string => {
  let fd: number
  try {
    fd = files.openInRoot(root, path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch (error) {
    if (isError(error, 'not-found')) return ''
    throw error
  }
  try {
    const stat = fstatSync(fd)
    return stat.isFile() && stat.size <= largest ? readFileSync(fd, 'utf8') : ''
  } finally {
    closeSync(fd)
  }
}
