/**
 * Variables. Plain ones go into a ConfigMap, what looks secret into a Secret, both immutable and named after their content:
 * a change rolls out the services that use it and no others, and undo finds the old values. envFrom expands nothing, so a
 * `$(` in a value stays what it is.
 */
import type { Service } from '../../spec/compose/project.ts'
import { ConfigMap, type KubeObject, Secret } from '../../spec/kube/kinds.ts'
import type { Lowering } from './context.ts'
import { escapeExpansion } from './names.ts'
import type { Piece } from './piece.ts'

const secretName =
  /(^|_)(PASS|PASSWD|PASSWORD|PASSPHRASE|SECRET|SECRETS|TOKEN|APIKEY|CREDENTIAL|CREDENTIALS|DSN)(_|$)|(API|ACCESS|PRIVATE|SECRET|SIGNING|ENCRYPTION)_?KEY(_|$)/i
const urlWithPassword = /:\/\/[^/\s:@]*:[^/\s@]+@/

/** Would a person not want to see this in a ConfigMap? Names of files that hold secrets are fine. */
const looksSecret = (name: string, value: string): boolean =>
  (secretName.test(name) && !/_(FILE|PATH)$/i.test(name) && value !== '') || urlWithPassword.test(value)

export const environment = (service: Service, lowering: Lowering): Piece => {
  const all = { ...modelVariables(service, lowering), ...service.environment }
  const keys = Object.keys(all).sort()
  const storable = keys.filter((key) => /^[-._a-zA-Z0-9]+$/.test(key))
  const plain = Object.fromEntries(
    storable.filter((key) => !looksSecret(key, all[key]!)).map((key) => [key, all[key]!]),
  )
  const secret = Object.fromEntries(
    storable.filter((key) => looksSecret(key, all[key]!)).map((key) => [key, all[key]!]),
  )
  const inline = keys.filter((key) => !storable.includes(key))
  const objects: KubeObject[] = []
  const envFrom = []
  const base = `${lowering.nameOf(service.name)}-env`
  if (Object.keys(plain).length) {
    const map = lowering.hashed(ConfigMap, base, { data: plain }, service.name)
    objects.push(map)
    envFrom.push({ configMapRef: { name: map.metadata.name! } })
  }
  if (Object.keys(secret).length) {
    const data = Object.fromEntries(Object.entries(secret).map(([k, v]) => [k, Buffer.from(v).toString('base64')]))
    const object = lowering.hashed(Secret, base, { type: 'Opaque', data }, service.name)
    objects.push(object)
    envFrom.push({ secretRef: { name: object.metadata.name! } })
  }
  return {
    container: {
      ...(envFrom.length && { envFrom }),
      ...(inline.length && { env: inline.map((name) => ({ name, value: escapeExpansion(all[name]!) })) }),
    },
    objects,
  }
}

/** A model is an address and a name; somebody else serves it. */
const modelVariables = (service: Service, lowering: Lowering): Record<string, string> => {
  const variables: Record<string, string> = {}
  for (const [key, use] of Object.entries(service.models ?? {})) {
    const model = lowering.project.models[key]
    const endpoint = model?.['x-slipway']?.endpoint
    if (!endpoint)
      lowering.refuse(
        service.name,
        `models.${key}`,
        'slipway does not run models',
        `Say where it answers: models.${key}.x-slipway.endpoint.`,
      )
    const stem = key.toUpperCase().replace(/[^A-Z0-9]/g, '_')
    if (endpoint) variables[use?.endpoint_var ?? `${stem}_URL`] = endpoint
    if (model?.model !== undefined) variables[use?.model_var ?? `${stem}_MODEL`] = model.model
  }
  return variables
}
