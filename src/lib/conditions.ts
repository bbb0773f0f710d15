/** Waiting for something to become true that nobody announces by itself: whoever may have changed it says `check`. */
export class Conditions {
  readonly #waiting = new Set<() => void>()

  /** Looks at everything that is waited for again. */
  check(): void {
    for (const look of [...this.#waiting]) look()
  }

  /** Resolves when `holds`, at once if it does now. Rejects with the signal's reason. */
  until(holds: () => boolean, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.delete(look)
        signal?.removeEventListener('abort', onAbort)
      }
      const onAbort = (): void => {
        leave()
        reject(signal!.reason)
      }
      const look = (): void => {
        if (!holds()) return
        leave()
        resolve()
      }
      if (signal?.aborted) return onAbort()
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#waiting.add(look)
      look()
    })
  }
}
