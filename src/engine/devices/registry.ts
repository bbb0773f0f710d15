/** The devices that the specifications in some directories name (Container Device Interface). */
import { readdirSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { messageOf } from '../../errors.ts'
import { type CdiEdits, type CdiSpecification, readSpecification } from '../../spec/cdi/index.ts'

export interface KnownDevice {
  /** VENDOR/CLASS=NAME */
  name: string
  /** Of its specification, and its own. */
  annotations: Record<string, string>
  edits: CdiEdits
  specification: CdiSpecification
  file: string
  /** Of its directory: the highest wins. */
  priority: number
}
export interface Registry {
  /** By name, sorted. */
  devices: ReadonlyMap<string, KnownDevice>
  /** What is wrong with directories and files, a sentence each. Their devices are left out. */
  problems: string[]
}

const filesIn = (dir: string): string[] =>
  readdirSync(dir, { withFileTypes: true })
    .filter((entry) => !entry.isDirectory() && ['.json', '.yaml'].includes(extname(entry.name)))
    .map(({ name }) => join(dir, name))
    .sort()

const parse = async (file: string): Promise<CdiSpecification> => {
  const text = readFileSync(file, 'utf8')
  const { parse: parseYaml } = await import('yaml')
  // Octal modes are written as in YAML 1.1.
  return readSpecification(parseYaml(text, { version: '1.1', logLevel: 'silent' }))
}

const devicesOf = (specification: CdiSpecification, file: string, priority: number): KnownDevice[] =>
  specification.devices.map(({ name, annotations, containerEdits }) => ({
    name: `${specification.kind}=${name}`,
    annotations: { ...specification.annotations, ...annotations },
    edits: containerEdits,
    specification,
    file,
    priority,
  }))

/** Reads all files anew. A directory that is not there has none; of two equal names in equal directories neither counts. */
export const readRegistry = async (directories: readonly string[]): Promise<Registry> => {
  const found = new Map<string, KnownDevice>()
  const conflicts = new Set<string>()
  const problems: string[] = []
  for (const [priority, dir] of directories.entries()) {
    let files: string[] = []
    try {
      files = filesIn(dir)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        problems.push(`CDI: Error associated with spec directory ${dir}: ${messageOf(error)}`)
    }
    for (const file of files) {
      let devices: KnownDevice[] = []
      try {
        devices = devicesOf(await parse(file), file, priority)
      } catch (error) {
        problems.push(`CDI: Error associated with spec file ${file}: failed to load CDI Spec ${messageOf(error)}`)
      }
      for (const device of devices) {
        const other = found.get(device.name)
        if (other?.priority === priority) {
          conflicts.add(device.name)
          problems.push(
            `CDI: Error associated with spec file ${file}: conflicting device "${device.name}" (specs "${file}", "${other.file}")`,
          )
        } else {
          // A conflict below a higher directory's device does not matter.
          conflicts.delete(device.name)
          found.set(device.name, device)
        }
      }
    }
  }
  for (const name of conflicts) found.delete(name)
  return { devices: new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1))), problems }
}

/** What `names` ask for, each specification's own edits once before its devices'. Undefined where one is not known: then `missing` has them. */
export const editsOf = ({ devices }: Registry, names: readonly string[]): { edits: CdiEdits[]; missing: string[] } => {
  const missing = names.filter((name) => !devices.has(name))
  const seen = new Set<CdiSpecification>()
  const edits = names.flatMap((name) => {
    const device = devices.get(name)
    if (!device) return []
    const first = !seen.has(device.specification)
    seen.add(device.specification)
    const common = device.specification.containerEdits
    return [...(first && common ? [common] : []), device.edits]
  })
  return { edits, missing }
}
