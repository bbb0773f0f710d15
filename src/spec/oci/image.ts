/** The OCI image format (image-spec v1.1), with Docker's extra configuration fields. JSON shapes, spelled as on the wire. */
export type Digest = string // "sha256:" + 64 hex

export interface Descriptor {
  mediaType: string
  digest: Digest
  size: number
  annotations?: Record<string, string> | undefined
  platform?: Platform | undefined
  artifactType?: string | undefined
  urls?: string[] | undefined
  /** The blob itself, in base64. */
  data?: string | undefined
}
export interface Platform {
  os: string
  architecture: string
  variant?: string | undefined
  'os.version'?: string | undefined
}
export interface Manifest {
  schemaVersion: 2
  mediaType?: string | undefined
  config: Descriptor
  layers: Descriptor[]
  annotations?: Record<string, string> | undefined
}
export interface Index {
  schemaVersion: 2
  mediaType?: string | undefined
  manifests: Descriptor[]
  annotations?: Record<string, string> | undefined
}
/** Durations are nanoseconds; 0 or absent means: take the default. */
export interface HealthcheckConfig {
  /** [] inherit; ['NONE']; ['CMD', …]; ['CMD-SHELL', line] */
  Test?: string[] | undefined
  Interval?: number | undefined
  Timeout?: number | undefined
  StartPeriod?: number | undefined
  StartInterval?: number | undefined
  Retries?: number | undefined
}
export interface ImageProcessConfig {
  User?: string | undefined
  ExposedPorts?: Record<string, Record<string, never>> | undefined
  Env?: string[] | undefined
  Entrypoint?: string[] | undefined
  Cmd?: string[] | undefined
  Volumes?: Record<string, Record<string, never>> | undefined
  WorkingDir?: string | undefined
  Labels?: Record<string, string> | undefined
  StopSignal?: string | undefined
  Healthcheck?: HealthcheckConfig | undefined
  OnBuild?: string[] | undefined
  Shell?: string[] | undefined
  ArgsEscaped?: boolean | undefined
}
export interface HistoryEntry {
  created?: string | undefined
  created_by?: string | undefined
  author?: string | undefined
  comment?: string | undefined
  empty_layer?: boolean | undefined
}
export interface ImageConfig extends Platform {
  created?: string | undefined
  author?: string | undefined
  /** Docker's: the image and the container it was committed from. */
  parent?: string | undefined
  container?: string | undefined
  container_config?: (ImageProcessConfig & { Image?: string | undefined }) | undefined
  config?: ImageProcessConfig | undefined
  rootfs: { type: 'layers'; diff_ids: Digest[] }
  history?: HistoryEntry[] | undefined
}
