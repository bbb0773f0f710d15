/** Runs the real kubectl. */
import { type ChildProcess, spawn } from 'node:child_process'
import { accessSync, constants, realpathSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'

const wanted = ['kubectl.1.27', 'kubectl.1.31', 'kubectl.1.33', 'kubectl']
const onPath = (process.env.PATH ?? '').split(delimiter)
const executable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
/** A dispatching kubectl on the PATH is a link into the folder that holds the versioned ones. */
const dispatcher = onPath.map((folder) => join(folder, 'kubectl')).find(executable)
const folders = dispatcher ? [...onPath, dirname(realpathSync(dispatcher))] : onPath
const find = (name: string): string | undefined => folders.map((folder) => join(folder, name)).find(executable)

/** The clients to test with: oldest, middle and newest where there are several, else the one there is. Throws when there is none. */
export const kubectls = (): { name: string; path: string }[] => {
  const found = wanted.map((name) => ({ name, path: find(name) })).filter((k) => k.path !== undefined)
  const versioned = found.filter((k) => k.name !== 'kubectl')
  const chosen = versioned.length ? versioned : found
  if (chosen.length === 0) throw new Error('no kubectl on this machine: these tests need one')
  return chosen as { name: string; path: string }[]
}

interface Result {
  code: number | null
  stdout: string
  stderr: string
}
export type Kubectl = ((...args: string[]) => Promise<Result>) & {
  /** Fails the test unless the command succeeds; stdout. */
  ok(...args: string[]): Promise<string>
  input(text: string | Buffer, ...args: string[]): Promise<Result>
  start(...args: string[]): ChildProcess
  path: string
  env: NodeJS.ProcessEnv
}

export const kubectl = (path: string, kubeconfig: string, home: string): Kubectl => {
  const env = { PATH: process.env.PATH, HOME: home, KUBECONFIG: kubeconfig }
  const start = (args: string[]): ChildProcess => spawn(path, args, { env, stdio: 'pipe' })
  const finish = (child: ChildProcess, input: string | Buffer = ''): Promise<Result> =>
    new Promise((resolve, reject) => {
      const out: Buffer[] = []
      const err: Buffer[] = []
      child.stdout!.on('data', (chunk: Buffer) => out.push(chunk))
      child.stderr!.on('data', (chunk: Buffer) => err.push(chunk))
      child.stdin!.on('error', () => {})
      child.stdin!.end(input)
      const timer = setTimeout(() => child.kill('SIGKILL'), 30_000)
      child.once('error', reject)
      child.once('close', (code) => {
        clearTimeout(timer)
        resolve({ code, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() })
      })
    })
  const run = (...args: string[]): Promise<Result> => finish(start(args))
  return Object.assign(run, {
    path,
    env,
    ok: async (...args: string[]) => {
      const result = await run(...args)
      if (result.code !== 0) throw new Error(`kubectl ${args.join(' ')} failed (${result.code}): ${result.stderr}`)
      return result.stdout
    },
    input: (text: string | Buffer, ...args: string[]) => finish(start(args), text),
    start: (...args: string[]) => start(args),
  })
}
