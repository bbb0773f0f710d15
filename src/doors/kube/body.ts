import type { IncomingMessage } from 'node:http'
import { messageOf } from '../../errors.ts'
import { readBody } from '../../lib/http/body.ts'
import { parseMedia } from '../../lib/http/media.ts'
import type { KubeObject } from '../../spec/kube/kinds.ts'
import { badRequest, tooLarge, unsupportedMedia } from './refusals.ts'

/** The API server's limit for a body, in bytes. */
const bodyLimit = 3 * 1024 * 1024
const objectTypes = ['application/json', 'application/yaml', 'application/vnd.kubernetes.protobuf']

/** YAML 1.1 as Go's sigs.k8s.io/yaml reads it: yes/no are booleans, timestamps stay text. */
const parseYaml = async (text: string): Promise<unknown> => {
  const { parse } = await import('yaml')
  try {
    return parse(text, {
      version: '1.1',
      customTags: (tags) => tags.filter((tag) => typeof tag === 'string' || tag.tag !== 'tag:yaml.org,2002:timestamp'),
    })
  } catch (error) {
    throw badRequest(`error converting YAML to JSON: ${messageOf(error)}`)
  }
}
const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw badRequest(
      `the object provided is unrecognized: couldn't get version/kind; json parse error: ${messageOf(error)}`,
    )
  }
}
const contentType = (request: IncomingMessage): string => parseMedia(request.headers['content-type'] ?? '').type

const read = (request: IncomingMessage): Promise<Buffer> => readBody(request, bodyLimit, () => tooLarge(bodyLimit))

/** Reads the object of a POST, PUT or DELETE, whatever its encoding. undefined: there was no body. */
export const readObject = async (request: IncomingMessage): Promise<KubeObject | undefined> => {
  const body = await read(request)
  if (body.length === 0) return undefined
  const type = contentType(request)
  let value: unknown
  if (type === 'application/json' || type === '') value = parseJson(body.toString('utf8'))
  else if (type === 'application/yaml') value = await parseYaml(body.toString('utf8'))
  else if (type === 'application/vnd.kubernetes.protobuf') {
    // Loaded when first needed: the message tables take a few milliseconds to read.
    value = (await import('./protobuf.ts')).decodeProtobuf(body)
  } else throw unsupportedMedia(objectTypes)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw badRequest("the object provided is unrecognized: couldn't get version/kind")
  }
  return value as KubeObject
}

const patchTypes = {
  'application/json-patch+json': 'json',
  'application/merge-patch+json': 'merge',
  'application/strategic-merge-patch+json': 'strategic',
  'application/apply-patch+yaml': 'apply',
} as const

/** Reads the body of a PATCH. */
export const readPatch = async (
  request: IncomingMessage,
): Promise<{ type: 'json' | 'merge' | 'strategic' | 'apply'; body: unknown }> => {
  const type = patchTypes[contentType(request) as keyof typeof patchTypes]
  if (!type) throw unsupportedMedia(Object.keys(patchTypes))
  const text = (await read(request)).toString('utf8')
  const body = type === 'apply' && !/^\s*\{/.test(text) ? await parseYaml(text) : parseJson(text)
  if (type === 'json' ? !Array.isArray(body) : typeof body !== 'object' || body === null) {
    throw badRequest(type === 'json' ? 'a JSON patch must be a list of operations' : 'a patch must be an object')
  }
  return { type, body }
}
