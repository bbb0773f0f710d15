import type { Kind, ObjectMetaHolder } from '../../spec/kube/kinds.ts'

/** What the local volume provisioner does to the disk. Both are idempotent. */
interface VolumeDirectories {
  /** Makes the directory (mode 0777, as provisioners of directories do) and its parents. */
  create(path: string): Promise<void>
  /** Removes the directory and all that is in it; missing is fine. */
  remove(path: string): Promise<void>
}

export interface ControllerOptions {
  /** PEM of the cluster's certificate authority, put into every namespace's kube-root-ca.crt. */
  rootCa: string
  /** Absolute path of a directory; each volume becomes a directory in it, named as the PersistentVolume. */
  volumeRoot: string
  directories: VolumeDirectories
  /** Name of the default StorageClass, made when there is none of that name; 'local' unless told. */
  storageClass?: string | undefined
  /** All kinds served, custom ones included, for garbage collection and namespace deletion. See storedKinds; the built-in ones unless told. */
  resources?: (() => readonly Kind<ObjectMetaHolder>[]) | undefined
  /** Milliseconds between looks of an autoscaler; 15 000 unless told. */
  autoscalerInterval?: number | undefined
  /** Milliseconds without a renewed lease after which a node counts as lost; 40 000 unless told. */
  nodeGrace?: number | undefined
  /** Milliseconds after which an event that did not recur is removed; an hour unless told. */
  eventTtl?: number | undefined
}
