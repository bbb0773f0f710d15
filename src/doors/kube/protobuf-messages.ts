import { readFileSync } from 'node:fs'
import { SlipwayError } from '../../errors.ts'
import { kubeDefinitions } from '../../spec/kube/schema.ts'

/** How one protobuf field becomes JSON. Built from the field tables of the Kubernetes API description. */
export interface ProtoField {
  /** JSON name. */
  name: string
  label: 'optional' | 'repeated' | 'map'
  /** A scalar's type, or a message's full name. For maps: the type of the values. */
  type: string
  /** Absent and zero differ: a zero on the wire is meant. The others are always sent, and zero means "not set". */
  pointer: boolean
  /** The Go type has no omitempty: zero is kept in JSON. */
  required: boolean
  /** An embedded struct: its fields appear in the JSON of the message around it. */
  inline: boolean
}
export interface ProtoMessages {
  /** Fields by number; undefined: no such message. */
  fields(message: string): Map<number, ProtoField> | undefined
  /** The message of a kind: `apps/v1`, `Deployment` → `k8s.io.api.apps.v1.Deployment`. */
  messageOf(apiVersion: string, kind: string): string | undefined
}

type FieldRow = [number: number, name: string, label: string, type: string, pointer?: string]
type Schema = { properties?: Record<string, unknown>; required?: string[] }
const meta = 'k8s.io.apimachinery.pkg.apis.meta.v1'

/** Fields of Go structs that are embedded, where the JSON has no such property. */
const embedded = new Set([
  'localObjectReference',
  'handler',
  'volumeSource',
  'persistentVolumeSource',
  'ingressRuleValue',
  'ephemeralContainerCommon',
  'ruleWithOperations',
  'rule',
])

const openapiName = (message: string): string =>
  message.replace(/^k8s\.io\.(api|apimachinery)\./, 'io.k8s.$1.').replace(/^k8s\.io\./, 'io.k8s.')

const build = (rows: Record<string, FieldRow[]>, schemas: Record<string, Schema>): ProtoMessages => {
  const built = new Map<string, Map<number, ProtoField>>()
  const compile = (message: string, table: FieldRow[]): Map<number, ProtoField> => {
    const schema = schemas[openapiName(message)]
    const properties = new Map(Object.keys(schema?.properties ?? {}).map((key) => [key.toLowerCase(), key]))
    const within = message.slice(0, message.lastIndexOf('.'))
    const typeOf = (text: string): string => {
      const type = /^map<string, (.*)>$/.exec(text)?.[1] ?? text
      if (type.startsWith('.')) return type.slice(1)
      return rows[`${within}.${type}`] ? `${within}.${type}` : type
    }
    return new Map(
      table.map(([number, rawName, label, rawType, pointer]) => {
        const name = properties.get(rawName.toLowerCase()) ?? rawName[0]!.toLowerCase() + rawName.slice(1)
        const type = typeOf(rawType)
        const field: ProtoField = {
          name,
          label: label as ProtoField['label'],
          type,
          pointer: pointer === 'pointer',
          required: schema?.required?.includes(name) ?? false,
          inline: embedded.has(rawName) && !properties.has(rawName.toLowerCase()),
        }
        return [number, field]
      }),
    )
  }
  const fields = (message: string): Map<number, ProtoField> | undefined => {
    const known = built.get(message)
    if (known) return known
    const table = rows[message]
    if (!table) return undefined
    const compiled = compile(message, table)
    built.set(message, compiled)
    return compiled
  }
  return {
    fields,
    messageOf: (apiVersion, kind) => {
      const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['core', apiVersion]
      const own = `k8s.io.api.${group!.split('.')[0]}.${version}.${kind}`
      if (rows[own]) return own
      // DeleteOptions and the like are posted with the group and version of the resource they act on.
      return rows[`${meta}.${kind}`] ? `${meta}.${kind}` : undefined
    },
  }
}

let loaded: ProtoMessages | undefined
/** Loaded at the first protobuf request: a few milliseconds. */
export const loadProtoMessages = (): ProtoMessages => {
  if (loaded) return loaded
  const table = readFileSync(new URL('../../spec/kube/generated/proto.json', import.meta.url), 'utf8')
  loaded = build(JSON.parse(table) as Record<string, FieldRow[]>, kubeDefinitions())
  return loaded
}

/** Reads the protobuf wire format (varint, fixed, length-delimited). */
export class WireReader {
  readonly bytes: Buffer
  at: number
  readonly end: number

  constructor(bytes: Buffer, at = 0, end = bytes.length) {
    this.bytes = bytes
    this.at = at
    this.end = end
  }

  get more(): boolean {
    return this.at < this.end
  }

  /** A signed 64-bit varint; safe integers as numbers (values beyond 2^53 do not occur in the API). */
  varint(): number {
    let low = 0
    let high = 0
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.at >= this.end) throw malformed('unexpected EOF')
      const byte = this.bytes[this.at++]!
      const part = byte & 0x7f
      if (shift < 28) low |= part << shift
      else if (shift === 28) {
        low |= part << 28
        high |= part >>> 4
      } else if (shift < 63) high |= part << (shift - 32)
      else high |= (part & 1) << 31
      if (byte < 0x80) return (high | 0) * 0x1_0000_0000 + (low >>> 0)
    }
    throw malformed('integer overflow')
  }

  /** The bytes of a length-delimited field. */
  slice(): Buffer {
    const size = this.varint()
    if (size < 0 || this.at + size > this.end) throw malformed('unexpected EOF')
    const part = this.bytes.subarray(this.at, this.at + size)
    this.at += size
    return part
  }

  skip(wire: number): void {
    if (wire === 0) this.varint()
    else if (wire === 1) this.at += 8
    else if (wire === 2) this.slice()
    else if (wire === 5) this.at += 4
    else throw malformed(`illegal wireType ${wire}`)
    if (this.at > this.end) throw malformed('unexpected EOF')
  }
}

export const malformed = (why: string): SlipwayError =>
  new SlipwayError('bad-request', `unable to decode protobuf body: ${why}`)
