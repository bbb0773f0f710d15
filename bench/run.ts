/** `npm run bench [-- NAME...]`: runs the benchmarks and prints a table of both sides, their ratio and the goal. */
import { Bench } from './bench.ts'
import { builds } from './build.ts'
import { commandLine } from './command-line.ts'
import { daemonStart } from './daemon-start.ts'
import { coldBuild } from './feastflow.ts'
import { idleCost } from './idle.ts'
import { images } from './images.ts'
import { listing, logReading, parallelRuns } from './many.ts'
import { portThroughput } from './ports.ts'
import { meets, type Result, table } from './report.ts'
import { restart } from './restart.ts'
import { runContainer } from './run-container.ts'
import { serviceThroughput } from './service.ts'

const benchmarks = [
  runContainer,
  listing,
  logReading,
  parallelRuns,
  images,
  builds,
  coldBuild,
  serviceThroughput,
  portThroughput,
  daemonStart,
  restart,
  commandLine,
  idleCost,
]

const say = (line: string): void => void process.stderr.write(`bench: ${line}\n`)

const main = async (wanted: readonly string[]): Promise<number> => {
  const unknown = wanted.filter((name) => !benchmarks.some((each) => each.name === name))
  if (unknown.length > 0) {
    say(`unknown: ${unknown.join(', ')}; there are`)
    for (const { name, about } of benchmarks) say(`  ${name.padEnd(10)} ${about}`)
    return 2
  }
  if (process.getuid?.() !== 0) {
    say('needs root: it starts containers (sudo npm run bench)')
    return 1
  }
  const bench = await Bench.open(say)
  // Ctrl-C leaves nothing behind either.
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void bench.close().finally(() => process.exit(130)))
  const results: Result[] = []
  let failed = false
  try {
    for (const each of benchmarks.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
      say(each.about)
      try {
        const found = await each.run(bench)
        results.push(...found)
        for (const { name, ours, peer, unit } of found)
          say(`${name}: ${ours.toFixed(2)} ${peer?.toFixed(2) ?? ''} ${unit}`)
      } catch (error) {
        failed = true
        say(`${each.name} failed: ${error instanceof Error ? error.message : String(error)}`)
      }
    }
  } finally {
    await bench.close()
  }
  console.log(table(results))
  return failed || !results.every(meets) ? 1 : 0
}

process.exitCode = await main(process.argv.slice(2))
