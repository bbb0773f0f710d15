/** A reporter of the closing counts, beside one that shows the tests themselves. */
interface Summary {
  type: string
  data: { file?: string; duration_ms: number; counts: Record<string, number> }
}

export default async function* counts(events: AsyncIterable<Summary>): AsyncGenerator<string> {
  for await (const { type, data } of events)
    if (type === 'test:summary' && data.file === undefined) {
      const { tests, passed, failed, cancelled, skipped, todo } = data.counts
      const seconds = (data.duration_ms / 1000).toFixed(1)
      yield `\ntests ${tests}, passed ${passed}, failed ${failed}, cancelled ${cancelled}, skipped ${skipped}, todo ${todo} in ${seconds} s\n`
    }
}
