import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { encodeName } from './names.ts'

/** Writes a member's content as a new file (0600); a file or link that is at `path` by then is neither followed nor touched: EEXIST. */
export const writeNewFile = async (path: string, body: AsyncIterable<Buffer>): Promise<void> => {
  const file = await open(
    encodeName(path),
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
    0o600,
  )
  try {
    for await (const chunk of body) await file.writeFile(chunk)
  } finally {
    await file.close()
  }
}
