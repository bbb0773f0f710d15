/** Volumes. */

export interface VolumeSpec {
  /** Empty: 64 random hex digits (an anonymous volume). */
  name: string
  driver: string // 'local'
  options: Record<string, string>
  labels: Record<string, string>
}
export interface Volume {
  spec: VolumeSpec
  /** Directory on the host; for options.type it is the mount point, mounted while in use. */
  mountpoint: string
  anonymous: boolean
  createdAt: number
}
export interface Volumes {
  /** Same name and options again: the existing one. */
  create(spec: VolumeSpec): Promise<Volume>
  get(name: string): Volume | undefined
  list(): Volume[]
  /** 'conflict' while a container refers to it. */
  remove(name: string, options?: { force?: boolean }): Promise<void>
  size(name: string): Promise<number>
}
