/**
 * Runs `count` tasks in batches of 1, 2, 4 …, and stops after the first batch with a failure: when every creation is going
 * to be refused (a quota, a webhook), only a few are tried. Returns how many succeeded and the first error.
 * Source: replica_set.go slowStartBatch.
 */
export const slowStart = async (
  count: number,
  task: (index: number) => Promise<unknown>,
): Promise<{ succeeded: number; error: unknown }> => {
  let succeeded = 0
  let done = 0
  for (let size = Math.min(1, count); size > 0; size = Math.min(2 * size, count - done)) {
    const first = done
    const results = await Promise.allSettled(Array.from({ length: size }, (_, i) => task(first + i)))
    done += size
    const failed = results.find((result) => result.status === 'rejected')
    succeeded += results.filter((result) => result.status === 'fulfilled').length
    if (failed) return { succeeded, error: failed.reason }
  }
  return { succeeded, error: undefined }
}
