import { readFileSync } from 'node:fs'

/** Names the time since the machine was started: what is known of pids, and of data that only memory has, ends with it. */
export const bootId = (): string => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
