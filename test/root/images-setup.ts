/** An engine's lower half on a temporary home, for the tests of images and snapshots. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { EngineDeps } from '../../src/engine/deps.ts'
import type { EngineEvent } from '../../src/engine/types.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { openDatabase } from '../../src/lib/database.ts'
import { silentLog } from '../../src/lib/log.ts'
import { createLinux } from '../../src/sys/linux/index.ts'

interface Home {
  deps: EngineDeps
  dir: string
  emitted: Omit<EngineEvent, 'timeNs'>[]
  /** Unmounts and deletes everything. */
  remove(): void
}

export const temporaryHome = (): Home => {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-images-'))
  const { deps, emitted, close } = openHome(dir)
  return {
    deps,
    dir,
    emitted,
    remove() {
      for (const { target } of deps.sys.mounts.below(dir).reverse()) deps.sys.mounts.unmount(target, { detach: true })
      close()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** What a daemon on that home would have. */
export const openHome = (dir: string): Pick<Home, 'deps' | 'emitted'> & { close(): void } => {
  const instance = {
    stateDir: join(dir, 'lib'),
    runDir: join(dir, 'run'),
    logDir: join(dir, 'log'),
    id: '0000',
    linkPrefix: 'sw0000',
    nftTable: 'slipway_0000',
    cgroupParent: '/slipway-0000',
  }
  for (const path of [instance.stateDir, instance.runDir, instance.logDir]) mkdirSync(path, { recursive: true })
  const emitted: Home['emitted'] = []
  const sys = createLinux(instance, silentLog)
  const db = openDatabase(join(instance.stateDir, 'state.db'))
  const events = {
    emit: (event: Omit<EngineEvent, 'timeNs'>) => void emitted.push(event),
    on: () => () => {},
    subscribe: () => {
      throw new Error('not in this test')
    },
  }
  return {
    deps: { instance, sys, db, events, log: silentLog, clock: systemClock },
    emitted,
    close() {
      if (db.isOpen) db.close()
    },
  }
}
