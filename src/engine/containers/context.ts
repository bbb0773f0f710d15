import { join } from 'node:path'
import type { KeyedMutex } from '../../lib/keyed-mutex.ts'
import type { EngineDeps } from '../deps.ts'
import type { DeviceStore } from '../devices/index.ts'
import type { AttachHub } from '../runtime/attach.ts'
import type { Machine } from '../runtime/config.ts'
import type { Exits } from '../runtime/exits.ts'
import type { RuntimePaths } from '../runtime/monitor.ts'
import type { SeccompCache } from '../runtime/seccomp-cache.ts'
import type { SnapshotStore } from '../snapshots/index.ts'
import type { Images, Sandboxes } from '../types.ts'
import type { VolumeStore } from '../volumes/index.ts'
import type { ContainerRecord, ContainerRecords } from './records.ts'

/** The rooms that containers stand on. */
export interface Neighbours {
  images: Images
  snapshots: SnapshotStore
  sandboxes: Sandboxes
  volumes: VolumeStore
  devices: DeviceStore
}

/** What is known of a container only while this process lives. */
export interface Live {
  hub: AttachHub
  /** Callers of wait, by what they wait for. */
  waiters: Set<Waiter>
  /** Aborted to give up a restart that is due. */
  restart: AbortController | undefined
  /** Aborted when the run ends: stops health checks and log rotation. */
  run: AbortController | undefined
  /** Delay before the next restart. */
  backoffMs: number
  /** Resolves when the exit of the present run has been dealt with. */
  settled: Promise<void> | undefined
}
export interface Waiter {
  condition: 'not-running' | 'next-exit' | 'removed'
  resolve(result: { exitCode: number; error?: string }): void
}

/** What all parts of this room share. */
export interface Context extends EngineDeps, Neighbours {
  records: ContainerRecords
  locks: KeyedMutex
  machine: Machine
  seccomp: SeccompCache
  /** Before a program is started under this AppArmor profile. */
  loadProfile(name: string | undefined): Promise<void>
  exits: Exits
  paths: RuntimePaths
  bootId: string
  live(id: string): Live
  forgetLive(id: string): void
  /** Set while the daemon lets go: nothing is started or restarted any more. */
  closing: AbortController
}

export const runtimePaths = (runDir: string): RuntimePaths => ({
  oci: join(runDir, 'oci'),
  exits: join(runDir, 'exits'),
  persist: join(runDir, 'persist'),
})

/** On sandboxes this room has made: 'container' or 'step'. Without a record of the same id they are left over. */
export const ownerLabel = 'slipway.dev/owner'

/** Emits a container event with docker's attributes: image, name, labels, and what the action adds. */
export const emit = (ctx: Context, record: ContainerRecord, action: string, more: Record<string, string> = {}): void =>
  ctx.events.emit({
    type: 'container',
    action,
    id: record.id,
    attributes: { ...record.spec.labels, image: record.spec.image, name: record.spec.name, ...more },
  })

/** Does the process that was started then still live? */
export const isAlive = (ctx: Context, pid: number, startTime: number | undefined): boolean =>
  pid > 0 && startTime !== undefined && ctx.sys.processes.startTime(pid) === startTime

/** Less is free than a small file takes: what the runtime failed at then, it seldom says. */
export const diskIsFull = ({ sys, instance }: Context): boolean =>
  [instance.runDir, instance.stateDir].some((dir) => sys.files.statfs(dir).freeBytes < 64 << 10)

export const isRunning = ({ status }: { status: string }): boolean => status === 'running' || status === 'paused'

export const ownsSandbox = (record: ContainerRecord): boolean => 'own' in record.spec.sandbox
