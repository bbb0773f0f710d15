/**
 * `--call check|outline|targets`: questions about a Dockerfile instead of a build. Names and JSON forms are those of moby/buildkit
 * frontend/subrequests; clients print result.json in their own way, or result.txt as it is.
 */
import { answerOf } from '../../../build/index.ts'
import type { Builder, BuildRequest } from '../../../build/types.ts'
import { SlipwayError } from '../../../errors.ts'

const known = {
  'frontend.outline': { what: 'outline', description: 'List all parameters current build target supports' },
  'frontend.targets': { what: 'targets', description: 'List all targets current build supports' },
  'frontend.lint': { what: 'check', description: 'Lint a Dockerfile' },
} as const

/** The metadata of the answer. */
export const answer = async (
  builder: Pick<Builder, 'describe'>,
  id: string,
  request: BuildRequest,
): Promise<Record<string, Uint8Array>> => {
  if (id === describe) return metadata(descriptions, table())
  const one = known[id as keyof typeof known]
  if (!one)
    throw new SlipwayError('unsupported', `unsupported request ${id}`, {
      hint: `Known are ${Object.keys(known).join(', ')}.`,
    })
  const { json, text, failed } = answerOf(await builder.describe(request, one.what), one.what, request.target)
  const code = one.what === 'check' ? { 'result.statuscode': Buffer.from(failed ? '1' : '0') } : {}
  return { ...metadata(json, text), ...code }
}

const metadata = (json: object, text: string): Record<string, Uint8Array> => ({
  'result.json': Buffer.from(JSON.stringify(json, null, 2)),
  'result.txt': Buffer.from(text),
  version: Buffer.from('1.0.0'),
})

const describe = 'frontend.subrequests.describe'

const descriptions = [
  ...Object.entries(known).map(([name, { description }]) => ({ name, description })),
  { name: describe, description: 'List available subrequest types' },
].map(({ name, description }) => ({
  ...{ name, version: '1.0.0', type: 'rpc', description, opts: [] },
  metadata: [{ name: 'result.json' }, { name: 'result.txt' }],
}))

const table = (): string => {
  const rows = descriptions.map((each) => [each.name.replace('frontend.', ''), each.version, each.description])
  const width = Math.max(...rows.map(([name]) => name!.length)) + 1
  return [['NAME', 'VERSION', 'DESCRIPTION'], ...rows]
    .map(([name = '', version = '', text = '']) => `${name.padEnd(width)}${version.padEnd(8)}${text}\n`)
    .join('')
}
