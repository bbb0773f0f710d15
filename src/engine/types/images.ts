/** Images and the layers they are made of. */
import type { Readable } from 'node:stream'
import type { Descriptor, Digest, ImageConfig, ImageProcessConfig, Platform } from '../../spec/oci/index.ts'
import type { Mount } from '../../sys/sys.ts'

export interface Image {
  /** Digest of the configuration blob; what docker calls the image id. */
  id: Digest
  config: ImageConfig
  platform: Platform
  /** "docker.io/library/debian:bookworm-slim" (always fully qualified). */
  names: string[]
  /** "docker.io/library/debian@sha256:…" */
  repoDigests: string[]
  /** When it got the newest of its names, ms since the epoch; 0 or undefined: it has none, or that was not kept. */
  taggedAt?: number | undefined
  /** Names that stand for several images, this one among them. */
  within?: string[] | undefined
  createdAt: number
  /** Unpacked bytes of all layers. */
  size: number
  /** Committed snapshot keys, base first; the last one is what containers mount on. */
  snapshots: string[]
  /** Set for an image built from a distribution's package archive because no registry answered. */
  bootstrapped?: boolean | undefined
}

export interface RegistryAuth {
  username?: string | undefined
  password?: string | undefined
  identityToken?: string | undefined
  registryToken?: string | undefined
}

/** One step of a pull, push, load or bootstrap. Shapes follow what docker prints: `id: status [progress]`. */
export interface TransferProgress {
  /** Short layer id, or the tag; absent for a general line. */
  id?: string | undefined
  /** 'Pulling fs layer', 'Downloading', 'Verifying Checksum', 'Download complete', 'Extracting', 'Pull complete', 'Already exists', 'Pushing', 'Pushed', … or a sentence. */
  status: string
  current?: number | undefined
  total?: number | undefined
  /** A line the user should see even in quiet mode (e.g. the bootstrap notice). */
  notice?: boolean | undefined
}

export interface PullOptions {
  platform?: Platform | undefined
  /** An image that is for one platform only is taken whichever that is; the last line of progress says so. */
  anyPlatform?: boolean | undefined
  auth?: RegistryAuth | undefined
  /** The registry may have any certificate, or speak http, whatever the machine's settings say. */
  insecure?: boolean | undefined
  signal?: AbortSignal | undefined
  progress?: ((step: TransferProgress) => void) | undefined
  /** The image gets no name where another one has it. Default: it takes the name over. */
  yieldName?: boolean | undefined
  /** May debian:SUITE come from the package archive when no registry can be reached? Default: true. */
  bootstrap?: boolean | undefined
}

/** How a layer is written into an archive. */
export interface LayerForm {
  /** Default: as it came, else gzip. */
  compression?: 'gzip' | 'zstd' | 'uncompressed' | undefined
  level?: number | undefined
  /** Layers that are archives already are written anew where they are in another form. */
  force?: boolean | undefined
  /** No file is younger than this (ms); the layer has another digest then. */
  notAfter?: number | undefined
  /** The archive that it was: one that is here in this form but is another one will not do. */
  digest?: Digest | undefined
}
/** A layer as an archive. The media type is OCI's. */
export interface PackedLayer extends Descriptor {
  diffId: Digest
  /** Writes it where that was not done yet: a file that stays for as long as the packing is open. */
  make(): Promise<string>
}
export interface Packing {
  layer(snapshot: string, form: LayerForm, signal?: AbortSignal): Promise<PackedLayer>
  close(): Promise<void>
}
/** Something that goes to a registry as one: parts before what refers to them, the root last. */
export interface Parcel {
  parts: ParcelPart[]
  /** A manifest or an index. */
  root: ParcelPart & { data: Buffer }
}
/** One of what an index names. */
export interface IndexManifest {
  descriptor: Descriptor
  /** Bytes of it and of all that it names, as archives. */
  contentSize: number
  /** The image that it is of; none: it is an attestation. */
  image: Image | undefined
}
/** `from`: what a layer is made of. */
export type ParcelPart = { descriptor: Descriptor } & (
  | { make(): Promise<string>; from?: { snapshot: string; form: LayerForm } | undefined }
  | { data: Buffer }
)

/** A manifest or index at a registry, and what it refers to. */
export interface RemoteDocument {
  descriptor: Descriptor
  body: Buffer
  /** Another manifest of the repository, by digest. */
  manifest(digest: Digest): Promise<Buffer>
  /** A blob of at most 16 MiB. */
  small(descriptor: Descriptor): Promise<Buffer>
  /** A blob in a file that stays until close. */
  download(descriptor: Descriptor, progress?: (bytes: number) => void): Promise<string>
  close(): Promise<void>
}

export interface Images {
  /** By name (any form), id, unique id prefix or name@digest. */
  get(reference: string): Promise<Image | undefined>
  /** Like get; 'not-found' "No such image: …" otherwise. */
  must(reference: string): Promise<Image>
  list(): Promise<Image[]>
  /** Unreachable registry: 'unavailable'; unknown name: 'not-found'; refused: 'unauthorized'. */
  pull(reference: string, options?: PullOptions): Promise<Image>
  /** All that the name stands for; with a platform only the image for that. */
  push(reference: string, options?: Omit<PullOptions, 'bootstrap'>): Promise<Descriptor>
  tag(source: string, target: string): Promise<void>
  /**
   * From now on the name, which means one of `members`, stands for all of them: a push of it sends the parcel, whose layers
   * are all `from` snapshots of theirs. Until the name means something else.
   */
  keepIndex(name: string, parcel: Parcel, members: readonly Digest[]): Promise<void>
  /** Of what the name stands for, the image for this platform; else the one that it means here. 'not-found' as of must. */
  forPlatform(reference: string, platform: Platform): Promise<Image>
  /** What is under a name that stands for several images, in order; undefined: it is just an image. */
  manifests(name: string): IndexManifest[] | undefined
  /** For making archives of layers; it must be closed. */
  packing(): Packing
  /** Sends a parcel to the repository, its root under the name's tag (`byDigest`: without one). `image`: whose it is. */
  send(
    reference: string,
    parcel: Parcel,
    options?: Omit<PullOptions, 'platform' | 'bootstrap'> & { byDigest?: boolean; image?: Digest },
  ): Promise<Descriptor>
  /** What a registry has under a name; it must be closed. Errors as of pull. */
  document(reference: string, options?: Pick<PullOptions, 'auth' | 'insecure' | 'signal'>): Promise<RemoteDocument>
  /**
   * Does the registry (a host, or an address as docker login has it) take these credentials? 'unauthorized' if not. Resolves
   * with an identity token where the registry gives one to keep instead of the password.
   */
  login(registry: string, auth: RegistryAuth, signal?: AbortSignal): Promise<{ identityToken?: string | undefined }>
  /** What the registry has under this name, and for which platforms; nothing is downloaded. */
  remote(
    reference: string,
    options?: Pick<PullOptions, 'auth' | 'signal'>,
  ): Promise<{ descriptor: Descriptor; platforms: Platform[] }>
  /** Tags of the repository at its registry. */
  remoteTags(repository: string, options?: Pick<PullOptions, 'auth' | 'signal'>): Promise<string[]>
  /** Which registries are reached in another way than by https: what docker info shows. */
  registries(): { mirrors: Record<string, string[]>; insecure: string[] }
  /**
   * Bytes on disk: unpacked layers and the archives kept of them, in `total` each once. `shared`: of the image's size, what
   * stands in other images too.
   */
  usage(): Promise<{ total: number; images: { id: Digest; size: number; shared: number }[] }>
  /**
   * Keeps the image's layers while something is made of them, whatever is removed meanwhile; not over a restart. The answer
   * lets go. 'not-found' if the image is gone already.
   */
  hold(reference: string): Promise<() => Promise<void>>
  /**
   * Removes a name and, with the last name, the image. In use by a container: 'conflict' unless `force`. Of several images that
   * the name stands for only that for the `platform`, which is there, and from all names that stand for several.
   */
  remove(
    reference: string,
    options?: { force?: boolean; noPrune?: boolean; platform?: Platform | undefined },
  ): Promise<({ untagged: string } | { deleted: Digest })[]>
  /** A docker archive or OCI layout as tar (plain, gzip, zstd). Yields the images it held. */
  load(archive: Readable, options?: Pick<PullOptions, 'progress' | 'signal' | 'platform'>): Promise<Image[]>
  /** One archive that both docker and OCI readers accept. */
  save(
    references: string[],
    options?: { signal?: AbortSignal | undefined; platform?: Platform | undefined },
  ): Promise<Readable>
  /** A root filesystem as tar, or what an http(s) address gives, becomes a one-layer image. */
  import(
    rootfs: Readable | URL,
    options: {
      name?: string
      config?: ImageProcessConfig
      message?: string
      platform?: Platform
      signal?: AbortSignal | undefined
      /** Of an address: once its server has answered. */
      progress?: ((step: TransferProgress) => void) | undefined
    },
  ): Promise<Image>
  /**
   * Registers what a build made: `snapshots` are committed, base first. The configuration's diff_ids are filled in from them
   * (layers are hashed as deterministic tars; blobs are made only on push or save). Same input, same id.
   */
  create(image: { config: Omit<ImageConfig, 'rootfs'>; snapshots: string[]; name?: string }): Promise<Image>
  prune(options: {
    all: boolean
    labels?: string[]
    until?: number
  }): Promise<{ deleted: ({ untagged: string } | { deleted: Digest })[]; reclaimed: number }>
  /** Makes debian:SUITE[-slim] from the signed package archive. */
  bootstrap(reference: string, options?: Pick<PullOptions, 'signal' | 'progress'>): Promise<Image>
}

/**
 * Layers as directories on overlayfs. A committed snapshot is immutable; an active one is writable and has one parent chain.
 * Keys are any unique strings. Modelled on containerd's snapshotter: it hands out mounts, others perform them.
 */
export interface Snapshots {
  /** A writable snapshot on `parent`. 'already-exists' if the key is taken. Returns the mount whose `target` is the caller's choice ('' here). */
  prepare(key: string, parent: string | undefined): Promise<Mount>
  /** The mount of an existing active snapshot, or read-only of a committed one. */
  mounts(key: string): Promise<Mount>
  /** Makes the active snapshot `key` immutable as `name`. If `name` exists already, the active one is dropped and that is fine. */
  commit(key: string, name: string): Promise<void>
  /** Removes what an active snapshot, mounted nowhere, holds of directories in which nothing has changed. */
  trim(key: string): Promise<void>
  stat(key: string): Promise<SnapshotInfo | undefined>
  /** Its own layer's directory, as in stat(), which also counts what is in there. */
  pathOf(key: string): string | undefined
  /** A file for what its maker wants to remember with it, which is not part of it. It goes when the snapshot does. */
  asideOf(key: string): string | undefined
  list(): Promise<SnapshotInfo[]>
  /** Of all, oldest first, without looking at what is in them. */
  keys(): string[]
  /** These and all that they stand on. What is called the same is the same, so an image need not list what its layers are on. */
  withParents(keys: readonly string[]): Set<string>
  /** Commits as `key` what an archive holds, on `parent`; 'invalid' where its content is not `diffId`. Known already: nothing is done. */
  receive(
    key: string,
    parent: string | undefined,
    layer: { file: string; digest: Digest; diffId: Digest },
    signal?: AbortSignal,
  ): Promise<void>
  /** 'conflict' while it has children. One that an image is made of stays for as long as the image does. */
  remove(key: string): Promise<void>
  /** Uncompressed tar of the snapshot's own layer: sorted, numeric ids, deterministic. */
  diff(key: string): Promise<Readable>
  /** sha256 of diff(), remembered for committed ones; for a layer that was unpacked, of the archive it came from. */
  diffId(key: string): Promise<Digest>
  /** Changed paths of the snapshot's own layer: docker diff. */
  changes(key: string): Promise<{ path: string; kind: 'modified' | 'added' | 'deleted' }[]>
}
export interface SnapshotInfo {
  key: string
  parent: string | undefined
  state: 'active' | 'committed'
  createdAt: number
  /** Bytes of its own layer. */
  size: number
  /** Absolute path of its own layer (overlay upper directory). */
  path: string
  labels: Record<string, string>
}
