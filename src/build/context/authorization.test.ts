import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gitAuthorization, httpAuthorization } from './authorization.ts'

const holding = (secrets: Record<string, string>) => async (id: string) =>
  secrets[id] === undefined ? undefined : Buffer.from(secrets[id])
const git = (remote: string, secrets: Record<string, string>) =>
  gitAuthorization({ remote, ref: undefined, subdirectory: '' }, holding(secrets))

test('secrets of repositories: of the host first, headers before tokens', async () => {
  const all = {
    GIT_AUTH_TOKEN: 't',
    GIT_AUTH_HEADER: 'h',
    'GIT_AUTH_TOKEN.x.test:80': 'tx',
    'GIT_AUTH_HEADER.y.test': 'hy',
  }
  const basic = (token: string): string => `basic ${Buffer.from(`x-access-token:${token}`).toString('base64')}`
  assert.equal(await git('https://x.test:80/r.git', all), basic('tx'))
  assert.equal(await git('https://y.test/r.git', all), 'hy')
  assert.equal(await git('https://z.test/r.git', all), 'h')
  assert.equal(await git('http://z.test/r.git', { GIT_AUTH_TOKEN: 't\n' }), basic('t'))
  assert.equal(await git('https://z.test/r.git', {}), undefined)
  assert.equal(await git('git@z.test:r.git', all), undefined)
})

test('secrets of files at http addresses are those of their host only', async () => {
  const of = (secrets: Record<string, string>) => httpAuthorization('https://x.test:8080/file', holding(secrets))
  assert.equal(await of({ 'HTTP_AUTH_TOKEN_x.test': 't', 'HTTP_AUTH_HEADER_x.test': 'Basic h' }), 'Basic h')
  assert.equal(await of({ 'HTTP_AUTH_TOKEN_x.test': 't' }), 'Bearer t')
  assert.equal(await of({ 'HTTP_AUTH_TOKEN_y.test': 't', HTTP_AUTH_TOKEN: 't' }), undefined)
})
