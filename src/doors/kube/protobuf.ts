/**
 * Decodes Kubernetes' protobuf bodies into the JSON form of the same object. Rules: the Unknown envelope of
 * k8s.io/apimachinery runtime/generated.proto; JSON forms of Time, Quantity, IntOrString … as their Go marshallers write them.
 */
import type { KubeObject } from '../../spec/kube/kinds.ts'
import { loadProtoMessages, malformed, type ProtoField, type ProtoMessages, WireReader } from './protobuf-messages.ts'

const magic = Buffer.from('6b387300', 'hex') // "k8s\0"
const scalars = new Set(['string', 'bool', 'bytes', 'int32', 'int64', 'uint32', 'uint64', 'double', 'float'])

const seconds = (value: Record<string, unknown>): string | undefined => {
  if (value.seconds === undefined && value.nanos === undefined) return undefined // Go's zero time: nothing is sent
  return new Date(Number(value.seconds ?? 0) * 1000).toISOString().slice(0, 19)
}
/** Messages whose JSON is not an object of their fields. Given the plain fields, zeros kept. */
const special: Record<string, (value: Record<string, unknown>) => unknown> = {
  'k8s.io.apimachinery.pkg.apis.meta.v1.Time': (v) => seconds(v) && `${seconds(v)}Z`,
  'k8s.io.apimachinery.pkg.apis.meta.v1.MicroTime': (v) =>
    seconds(v) && `${seconds(v)}.${String(Math.floor(Number(v.nanos ?? 0) / 1000)).padStart(6, '0')}Z`,
  'k8s.io.apimachinery.pkg.api.resource.Quantity': (v) => v.string || '0',
  'k8s.io.apimachinery.pkg.util.intstr.IntOrString': (v) => (v.type ? (v.strVal ?? '') : (v.intVal ?? 0)),
  'k8s.io.api.authentication.v1.ExtraValue': (v) => v.items ?? [],
  'k8s.io.api.authorization.v1.ExtraValue': (v) => v.items ?? [],
  'k8s.io.apimachinery.pkg.apis.meta.v1.Verbs': (v) => v.items ?? [],
}
/** Values that stand for "not set" in a field that is no pointer. */
const isZero = (value: unknown): boolean =>
  value === undefined ||
  value === '' ||
  value === 0 ||
  value === false ||
  (typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length === 0)

const json = (bytes: Buffer): unknown => {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    throw malformed(`embedded object is not JSON: ${(error as Error).message}`)
  }
}

class Decoder {
  readonly messages: ProtoMessages

  constructor(messages: ProtoMessages) {
    this.messages = messages
  }

  message(name: string, bytes: Buffer, depth = 0): unknown {
    if (depth > 100) throw malformed('nested too deep')
    if (name.endsWith('.FieldsV1') || name.endsWith('.RawExtension')) return this.#raw(bytes)
    const out: Record<string, unknown> = {}
    const reader = new WireReader(bytes)
    const fields = this.messages.fields(name)
    if (!fields) throw malformed(`no such message ${name}`)
    const plain = name in special
    while (reader.more) {
      const tag = reader.varint()
      const wire = tag & 7
      const field = fields.get(tag >>> 3)
      if (!field) reader.skip(wire)
      else if (field.label === 'map') this.#entry(out, field, reader.slice(), depth)
      else if (field.label === 'repeated') this.#element(out, field, wire, reader, depth)
      else {
        const value = this.#value(field.type, wire, reader, depth)
        if (field.inline) Object.assign(out, value)
        else if (plain || field.pointer ? value !== undefined : field.required || !isZero(value))
          out[field.name] = value
        else delete out[field.name]
      }
    }
    return special[name] ? special[name](out) : out
  }

  #value(type: string, wire: number, reader: WireReader, depth: number): unknown {
    if (!scalars.has(type)) return this.message(type, reader.slice(), depth + 1)
    if (type === 'string') return reader.slice().toString('utf8')
    if (type === 'bytes') return reader.slice().toString('base64')
    if (type === 'double' || type === 'float') {
      const size = type === 'double' ? 8 : 4
      const at = reader.at
      reader.skip(wire)
      return size === 8 ? reader.bytes.readDoubleLE(at) : reader.bytes.readFloatLE(at)
    }
    const number = reader.varint()
    return type === 'bool' ? number !== 0 : number
  }

  #element(out: Record<string, unknown>, field: ProtoField, wire: number, reader: WireReader, depth: number): void {
    const list = ((out[field.name] as unknown[] | undefined) ??= []) as unknown[]
    const packed = wire === 2 && /^(u?int|bool)/.test(field.type)
    if (!packed) {
      list.push(this.#value(field.type, wire, reader, depth))
      return
    }
    const inner = new WireReader(reader.slice())
    while (inner.more) list.push(this.#value(field.type, 0, inner, depth))
  }

  #entry(out: Record<string, unknown>, field: ProtoField, bytes: Buffer, depth: number): void {
    const map = ((out[field.name] as Record<string, unknown> | undefined) ??= {}) as Record<string, unknown>
    let key = ''
    let value: unknown =
      field.type === 'bool' ? false : /^u?int/.test(field.type) ? 0 : scalars.has(field.type) ? '' : {}
    const reader = new WireReader(bytes)
    while (reader.more) {
      const tag = reader.varint()
      if (tag >>> 3 === 1) key = reader.slice().toString('utf8')
      else if (tag >>> 3 === 2) value = this.#value(field.type, tag & 7, reader, depth)
      else reader.skip(tag & 7)
    }
    Object.defineProperty(map, key, { value, enumerable: true, configurable: true, writable: true })
  }

  /** RawExtension and FieldsV1: one bytes field that holds JSON, or another enveloped object. */
  #raw(bytes: Buffer): unknown {
    const reader = new WireReader(bytes)
    let raw: Buffer | undefined
    while (reader.more) {
      const tag = reader.varint()
      if (tag >>> 3 === 1 && (tag & 7) === 2) raw = reader.slice()
      else reader.skip(tag & 7)
    }
    if (!raw?.length) return undefined
    return raw.subarray(0, 4).equals(magic) ? this.envelope(raw) : json(raw)
  }

  envelope(bytes: Buffer): KubeObject {
    if (!bytes.subarray(0, 4).equals(magic)) throw malformed('the body does not begin with the expected prefix')
    let apiVersion = ''
    let kind = ''
    let raw = Buffer.alloc(0)
    let contentType = ''
    const reader = new WireReader(bytes, 4)
    while (reader.more) {
      const tag = reader.varint()
      if (tag >>> 3 === 1) {
        const type = this.message('k8s.io.apimachinery.pkg.runtime.TypeMeta', reader.slice()) as Record<string, string>
        apiVersion = type.apiVersion ?? ''
        kind = type.kind ?? ''
      } else if (tag >>> 3 === 2) raw = reader.slice() as Buffer<ArrayBuffer>
      else if (tag >>> 3 === 4) contentType = reader.slice().toString('utf8')
      else reader.skip(tag & 7)
    }
    if (contentType === 'application/json') return json(raw) as KubeObject
    const message = this.messages.messageOf(apiVersion, kind)
    if (!message) throw malformed(`no kind "${kind}" is registered for version "${apiVersion}"`)
    const value = this.message(message, raw) as Record<string, unknown>
    return { apiVersion, kind, ...value } as KubeObject
  }
}

/** An `application/vnd.kubernetes.protobuf` body as the JSON object it stands for. 'bad-request' when it cannot be read. */
export const decodeProtobuf = (body: Buffer): KubeObject => new Decoder(loadProtoMessages()).envelope(body)
