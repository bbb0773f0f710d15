import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OutputBuffer } from '../runtime/output.ts'
import { HeldBack } from './direct.ts'

const heard = async (output: OutputBuffer): Promise<string> => {
  let text = ''
  output.end()
  for await (const { data } of output) text += data
  return text
}

test("the runtime's last words are kept back however they are cut; a program's come in order", async () => {
  const runtime = new HeldBack(new OutputBuffer())
  for (const said of ['setns `mnt`: Bad file descriptor\n', 'fail startup\n']) runtime.push(Buffer.from(said))
  assert.equal(await heard(runtime.output), '')
  const program = new HeldBack(new OutputBuffer())
  for (const said of ['fork: a\n', 'b\n', 'fork: c\n']) program.push(Buffer.from(said))
  assert.equal(await heard(program.output), 'fork: a\nb\nfork: c\n')
  const short = new HeldBack(new OutputBuffer())
  short.push(Buffer.from('exec `x`\n'))
  short.release()
  assert.equal(await heard(short.output), 'exec `x`\n')
  const chatty = new HeldBack(new OutputBuffer())
  for (let i = 0; i < 9; i++) chatty.push(Buffer.from('fork: again\n'))
  assert.equal((await heard(chatty.output)).length, 9 * 12)
})
