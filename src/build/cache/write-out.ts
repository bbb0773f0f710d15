import { messageOf } from '../../errors.ts'
import type { Log } from '../../lib/log.ts'
import type { SpecialFiles } from '../../sys/sys.ts'
import type { CacheRecords } from './records.ts'

/** Brings what steps have written to the disk, behind everybody's back; until then their records are marked (decision 7). */
export class WriteOut {
  readonly #files: Pick<SpecialFiles, 'sync'>
  readonly #records: CacheRecords
  readonly #directory: string
  readonly #log: Log
  #running: Promise<void> | undefined

  /** `directory`: on the file system of the snapshots. */
  constructor(files: Pick<SpecialFiles, 'sync'>, records: CacheRecords, directory: string, log: Log) {
    this.#files = files
    this.#records = records
    this.#directory = directory
    this.#log = log
  }

  /** Begins, unless it is under way: then what came in between has its turn afterwards. */
  begin(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
    })
  }

  async #run(): Promise<void> {
    try {
      for (let ids = this.#records.unsynced(); ids.length > 0; ids = this.#records.unsynced()) {
        await this.#files.sync(this.#directory)
        this.#records.synced(ids)
      }
    } catch (error) {
      this.#log.warn('steps of builds are not known to be on disk', { error: messageOf(error) })
    }
  }

  /** Resolves once nothing is under way. */
  async settle(): Promise<void> {
    await this.#running
  }
}
