/** Which attestations a build is asked for: `attest:TYPE` of the frontend's attributes, each a line of key=value pairs. */
import { messageOf, SlipwayError } from '../../errors.ts'
import { csv } from '../../lib/csv.ts'
import { parseReference } from '../../spec/oci/index.ts'
import { isOn } from '../output/options.ts'

export interface ProvenanceOptions {
  /** What is told: `min` leaves out arguments, labels, secrets and how it was built. */
  mode: 'min' | 'max'
  version: 'v0.2' | 'v1'
  builderId: string
  reproducible: boolean
}
export interface SbomOptions {
  /** Image of a scanner. */
  generator: string
  /** All else that was given: BUILDKIT_SCAN_… of the scanner's environment. */
  parameters: Readonly<Record<string, string>>
}
export interface Attestations {
  provenance?: ProvenanceOptions | undefined
  sbom?: SbomOptions | undefined
}

/** BuildKit's; an image of Docker Hub. */
const defaultGenerator = 'docker/buildkit-syft-scanner:stable-1'

const fieldsOf = (type: string, line: string): Record<string, string> => {
  try {
    return Object.fromEntries(
      csv(line)
        .filter((field) => field !== '')
        .map((field) => pairOf(field)),
    )
  } catch (cause) {
    throw new SlipwayError('bad-request', `failed to parse ${type}: ${messageOf(cause)}`, { cause })
  }
}

const pairOf = (field: string): [string, string] => {
  const at = field.indexOf('=')
  return at < 0 ? [field, ''] : [field.slice(0, at), field.slice(at + 1)]
}

/**
 * `inline-only` marks the provenance that buildx asks for by itself where nobody has said anything: it is left out, unless an
 * exporter is told to have it (decision 13).
 */
const isWanted = (fields: Record<string, string> | undefined): fields is Record<string, string> =>
  fields !== undefined && !isOn(fields.disabled, false) && !isOn(fields['inline-only'], false)

/** The same, with what is only for images that are told to have it. */
export const withInline = (attest: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(attest).map(([type, line]) => [type, `${line},inline-only=false`]))

export const attestationsOf = (
  attest: Readonly<Record<string, string>>,
  args: Readonly<Record<string, string>>,
): Attestations => {
  const given = new Map(Object.entries(attest).map(([type, line]) => [type.toLowerCase(), fieldsOf(type, line)]))
  for (const [key, value] of Object.entries(args)) {
    const type = /^BUILDKIT_ATTEST_(.+)$/.exec(key)?.[1]
    if (type !== undefined) given.set(type.toLowerCase(), fieldsOf(type, value))
  }
  const stranger = [...given.keys()].find((type) => type !== 'provenance' && type !== 'sbom')
  if (stranger !== undefined)
    throw new SlipwayError('bad-request', `unsupported attestation type ${JSON.stringify(stranger)}`, {
      hint: 'Known are provenance and sbom.',
    })
  const provenance = given.get('provenance')
  const sbom = given.get('sbom')
  return {
    ...(isWanted(provenance) ? { provenance: provenanceOf(provenance) } : {}),
    ...(isWanted(sbom) ? { sbom: sbomOf(sbom) } : {}),
  }
}

const sbomOf = ({
  generator = defaultGenerator,
  disabled: _,
  'inline-only': __,
  ...parameters
}: Record<string, string>) => {
  try {
    parseReference(generator)
  } catch (cause) {
    throw new SlipwayError('bad-request', `failed to parse sbom scanner ${generator}: ${messageOf(cause)}`, { cause })
  }
  return { generator, parameters }
}

const provenanceOf = (fields: Record<string, string>): ProvenanceOptions => {
  const { mode = 'max', version = 'v0.2' } = fields
  if (!['min', 'max', 'full'].includes(mode)) throw new SlipwayError('bad-request', `invalid mode "${mode}"`)
  if (version !== 'v0.2' && version !== 'v1')
    throw new SlipwayError('bad-request', `invalid provenance SLSA version: ${version}`)
  return {
    mode: mode === 'min' ? 'min' : 'max',
    version,
    builderId: fields['builder-id'] ?? '',
    reproducible: isOn(fields.reproducible, false),
  }
}
