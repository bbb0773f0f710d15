/** Lets a long run of synchronous file work share the event loop: `await pace()` yields once its slice is used up. */
export const createPacer = (sliceMs = 8): (() => Promise<void> | undefined) => {
  let until = performance.now() + sliceMs
  return () => {
    if (performance.now() < until) return undefined
    return new Promise((resolve) => {
      setImmediate(() => {
        until = performance.now() + sliceMs
        resolve()
      })
    })
  }
}
