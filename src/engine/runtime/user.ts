import { closeSync, constants, fstatSync, readFileSync } from 'node:fs'
import { SlipwayError } from '../../errors.ts'
import type { SpecialFiles } from '../../sys/sys.ts'

export interface ResolvedUser {
  uid: number
  gid: number
  additionalGids: number[]
  /** Home directory from the passwd file; '/' when the user is not in it. */
  home: string
  name: string
}
interface Account {
  name: string
  uid: number
  gid: number
  home: string
}
interface Group {
  name: string
  gid: number
  members: string[]
}

const largestFile = 8 << 20

/**
 * The text of a file inside `root`, opened so that nothing in the container can lead us elsewhere or make us wait: links
 * stay within the root, a FIFO is not waited for, and only a regular file is read. Anything else counts as absent.
 */
const readInRoot = (files: SpecialFiles, root: string, path: string): string => {
  let fd: number
  try {
    fd = files.openInRoot(root, path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch (error) {
    if (error instanceof SlipwayError && error.code !== 'internal') return ''
    throw error
  }
  try {
    const stat = fstatSync(fd)
    return stat.isFile() && stat.size <= largestFile ? readFileSync(fd, 'utf8') : ''
  } finally {
    closeSync(fd)
  }
}

const rows = (text: string): string[][] =>
  text.split('\n').flatMap((line) => (line.trim() === '' || line.startsWith('#') ? [] : [line.trim().split(':')]))

const parsePasswd = (text: string): Account[] =>
  rows(text).map(([name = '', , uid = '', gid = '', , home = '']) => ({
    name,
    uid: Number(uid || -1),
    gid: Number(gid || -1),
    home,
  }))
const parseGroup = (text: string): Group[] =>
  rows(text).map(([name = '', , gid = '', members = '']) => ({
    name,
    gid: Number(gid || -1),
    members: members.split(',').filter(Boolean),
  }))

const largestId = 2 ** 31 - 1
const idOf = (text: string): number | undefined => {
  if (!/^-?\d+$/.test(text)) return undefined
  const id = Number(text)
  if (id < 0 || id > largestId) throw new SlipwayError('bad-request', 'uids and gids must be in range 0-2147483647')
  return id
}

/**
 * Docker's rules (moby/sys/user GetExecUser): "user[:group]", names before numbers, an unknown number is taken as it is;
 * a given group switches off the groups the user is a member of. `extra` are names or numbers of further groups.
 */
export const resolveUser = (wanted: string, extra: readonly string[], passwd: string, group: string): ResolvedUser => {
  const [userPart = '', groupPart = ''] = wanted.split(':')
  const accounts = parsePasswd(passwd)
  const groups = parseGroup(group)
  const uid = userPart === '' ? 0 : idOf(userPart)
  const account =
    (userPart === '' ? undefined : accounts.find(({ name }) => name === userPart)) ??
    (uid === undefined ? undefined : accounts.find((each) => each.uid === uid))
  if (account === undefined && uid === undefined)
    throw new SlipwayError('bad-request', `unable to find user ${userPart}: no matching entries in passwd file`, {
      hint: 'The user has to exist in /etc/passwd of the image; a number always works.',
    })
  const groupId = (name: string): number => {
    const number = idOf(name)
    const found = groups.find((each) => each.name === name)?.gid ?? number
    if (found === undefined)
      throw new SlipwayError('bad-request', `Unable to find group ${name}: no matching entries in group file`, {
        hint: 'The group has to exist in /etc/group of the image; a number always works.',
      })
    return found
  }
  const memberOf =
    groupPart === '' && account !== undefined
      ? groups.filter(({ members }) => members.includes(account.name)).map(({ gid }) => gid)
      : []
  const gid = groupPart === '' ? (account?.gid ?? 0) : groupId(groupPart)
  return {
    uid: account?.uid ?? uid!,
    gid,
    additionalGids: [...new Set([gid, ...memberOf, ...extra.map(groupId)])],
    home: account?.home || '/',
    name: account?.name ?? userPart,
  }
}

export const resolveUserIn = (
  files: SpecialFiles,
  root: string,
  wanted: string,
  extra: readonly string[],
): ResolvedUser =>
  resolveUser(wanted, extra, readInRoot(files, root, '/etc/passwd'), readInRoot(files, root, '/etc/group'))
