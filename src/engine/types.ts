/**
 * What the engine offers: images, snapshots, sandboxes, containers, networks, volumes. It knows nothing of Compose or
 * Kubernetes; the docker door, the kubelet and the builder are its users. Sizes are bytes, times milliseconds since the
 * epoch, durations milliseconds, unless a name says otherwise. Every method rejects with a SlipwayError. All state
 * survives a kill of the daemon: what a resolved promise has promised is on disk.
 */

import type { Containers } from './types/containers.ts'
import type { Devices } from './types/devices.ts'
import type { Events } from './types/events.ts'
import type { Images, Snapshots } from './types/images.ts'
import type { Networks, Sandboxes } from './types/networks.ts'
import type { Volumes } from './types/volumes.ts'

export type * from './types/containers.ts'
export type * from './types/devices.ts'
export type * from './types/events.ts'
export type * from './types/images.ts'
export type * from './types/networks.ts'
export type * from './types/volumes.ts'

/** The identity of an instance: its directories, and the names it may use on the machine. */
export interface Instance {
  /** Persistent state (/var/lib/slipway, or $SLIPWAY_HOME/lib). */
  stateDir: string
  /** Sockets, pid files, pinned namespaces: gone after a reboot (/run/slipway, or $SLIPWAY_HOME/run). */
  runDir: string
  logDir: string
  /** 4 hex digits from the state directory's path: makes interface, table and cgroup names unique on this machine. */
  id: string
  /** Prefix of interface names, e.g. 'sw1a2b' (leaves 9 characters). */
  linkPrefix: string
  /** Name of our nft tables, e.g. 'slipway-1a2b' is written slipway_1a2b. */
  nftTable: string
  /** e.g. '/slipway-1a2b' */
  cgroupParent: string
}

export interface Engine {
  images: Images
  snapshots: Snapshots
  containers: Containers
  sandboxes: Sandboxes
  networks: Networks
  volumes: Volumes
  devices: Devices
  events: Events
  /** Takes over what an earlier daemon left: running containers, rules, mounts; cleans what nobody owns. Once, before anything else. */
  recover(): Promise<void>
  /** Lets go of everything without stopping containers. */
  close(): Promise<void>
}
