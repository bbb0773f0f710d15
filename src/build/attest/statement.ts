/**
 * Attestations as in-toto statements, and the manifest they lie in beside the image's: BuildKit's attestation storage
 * (docs/attestations/attestation-storage.md).
 */
import type { Parcel, ParcelPart } from '../../engine/types.ts'
import {
  type Descriptor,
  familiarName,
  formatPlatform,
  mediaTypes,
  type Platform,
  parseReference,
  sha256,
  withTag,
} from '../../spec/oci/index.ts'

/** What is said, without what it is said of. */
export interface Attestation {
  predicateType: string
  predicate: unknown
  /** What it is called among files. */
  file: string
}

const unknownPlatform: Platform = { os: 'unknown', architecture: 'unknown' }

/** A package URL of an image (purl-spec, types docker and oci). */
export const packageUrl = (reference: string, platform: Platform | undefined, type = 'docker'): string => {
  const parsed = withTag(parseReference(reference))
  const name = familiarName({ ...parsed, tag: undefined, digest: undefined })
  const path = name.split('/').map(encodeURIComponent).join('/').replaceAll('%3A', ':')
  const version = parsed.tag === undefined ? '' : `@${encodeURIComponent(parsed.tag)}`
  const qualifiers = [
    ...(parsed.digest === undefined ? [] : [`digest=${parsed.digest}`]),
    ...(platform === undefined ? [] : [`platform=${encodeURIComponent(formatPlatform(platform))}`]),
  ]
  return `pkg:${type}/${path}${version}${qualifiers.length > 0 ? `?${qualifiers.join('&')}` : ''}`
}

type Subject = { name: string; digest: Record<string, string> }

export const statementOf = ({ predicateType, predicate }: Attestation, subject: readonly Subject[]): object => ({
  _type: 'https://in-toto.io/Statement/v0.1',
  predicateType,
  subject,
  predicate,
})

const statement = (
  attestation: Attestation,
  { digest }: Descriptor,
  names: readonly string[],
  platform: Platform,
): Buffer => {
  const [algorithm = '', hex = ''] = digest.split(':')
  const subjects = names.length > 0 ? names.map((name) => packageUrl(name, platform)) : ['_']
  const all = subjects.map((name) => ({ name, digest: { [algorithm]: hex } }))
  return Buffer.from(JSON.stringify(statementOf(attestation, all)))
}

const part = (mediaType: string, data: Buffer, more: Partial<Descriptor> = {}): Parcel['root'] => ({
  descriptor: { mediaType, digest: sha256(data), size: data.length, ...more },
  data,
})

const artifactType = 'application/vnd.docker.attestation.manifest.v1+json'
const emptyConfig = part(mediaTypes.ociEmpty, Buffer.from('{}'), { data: Buffer.from('{}').toString('base64') })

const unknownConfig = (layers: readonly ParcelPart[]): Parcel['root'] =>
  part(
    mediaTypes.ociConfig,
    Buffer.from(
      JSON.stringify({
        ...unknownPlatform,
        config: {},
        rootfs: { type: 'layers', diff_ids: layers.map(({ descriptor }) => descriptor.digest) },
      }),
    ),
  )

/**
 * The manifest and what it refers to. `of` is the image's manifest, `names` what the image is called. As an artifact
 * (`oci-artifact`) it has a type and a subject, and no configuration.
 */
export const attestationManifest = (
  attestations: readonly Attestation[],
  of: Descriptor,
  names: readonly string[],
  platform: Platform,
  isArtifact: boolean,
): { blobs: ParcelPart[]; manifest: Parcel['root'] } => {
  const layers = attestations.map((each) =>
    part(mediaTypes.inToto, statement(each, of, names, platform), {
      annotations: { 'in-toto.io/predicate-type': each.predicateType },
    }),
  )
  const config = isArtifact ? emptyConfig : unknownConfig(layers)
  const manifest = part(
    mediaTypes.ociManifest,
    Buffer.from(
      JSON.stringify(
        {
          schemaVersion: 2,
          mediaType: mediaTypes.ociManifest,
          ...(isArtifact ? { artifactType } : {}),
          config: config.descriptor,
          layers: layers.map(({ descriptor }) => descriptor),
          ...(isArtifact ? { subject: { mediaType: of.mediaType, digest: of.digest, size: of.size } } : {}),
        },
        undefined,
        2,
      ),
    ),
    {
      annotations: { 'vnd.docker.reference.digest': of.digest, 'vnd.docker.reference.type': 'attestation-manifest' },
      platform: unknownPlatform,
    },
  )
  return { blobs: [...layers, config], manifest }
}
