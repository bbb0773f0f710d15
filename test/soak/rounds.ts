/** One round: work and trouble, then rest, then everything is looked at. */
import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Chance, chanceOf } from './chance.ts'
import type { Files, Ledger } from './ledger.ts'
import { disagreements, remains, rules, sizes, usageGaps, vitals } from './leftovers.ts'
import { troubles } from './troubles.ts'
import { archiveFiles, isOne, registryFiles } from './verify.ts'
import { Worker } from './worker.ts'
import { World } from './world.ts'

interface Wish {
  seed: string
  users: number
  roundMs: number
  calm: boolean
  only: string[]
  troubles: string[]
  diskMB: number
}

/** How long what nobody waits for may take to be over. */
const restMs = 20_000

export class Rounds {
  readonly faults: string[] = []
  readonly #wish: Wish
  readonly #chance: Chance
  readonly #world: World
  readonly #workers: Worker[] = []
  #rules: string[] = []
  #round = 0
  /** Where the daemon's log was read to. */
  #logged = 0

  constructor(wish: Wish) {
    this.#wish = wish
    this.#chance = chanceOf(wish.seed)
    this.#world = new World(this.#chance.branch('line'), wish.diskMB)
  }

  async open(): Promise<void> {
    await this.#world.open()
    await this.#world.must(['docker', 'run', '--rm', 'busybox', 'true'])
    this.#rules = await rules(this.#world)
    for (let i = 1; i <= this.#wish.users; i++)
      this.#workers.push(new Worker(`u${i}`, this.#world, this.#chance.branch(`u${i}`), (what) => this.#fault(what)))
  }

  close(): void {
    this.#world.close()
  }

  #say(what: string): void {
    process.stdout.write(`${new Date().toISOString().slice(11, 19)} ${what}\n`)
  }

  #fault(what: string): void {
    this.faults.push(`round ${this.#round}: ${what}`)
    this.#say(`FAULT ${what}`)
  }

  async round(round: number): Promise<void> {
    this.#round = round
    const world = this.#world
    const chance = this.#chance.branch(`round ${round}`)
    world.cuts = 0
    const end = Date.now() + this.#wish.roundMs
    const working = this.#workers.map((worker) => worker.work(this.#wish.only, () => Date.now() > end))
    if (!this.#wish.calm) await this.#trouble(chance, end)
    const came = await Promise.allSettled(working)
    for (const each of came) if (each.status === 'rejected') throw each.reason
    world.cuts = 0
    await world.up()
    await this.#look(chance)
    const did = this.#workers
      .flatMap(({ done }) => [...done])
      .reduce((sums, [kind, { fine, failed }]) => {
        const sum = sums.get(kind) ?? [0, 0]
        return sums.set(kind, [sum[0]! + fine, sum[1]! + failed])
      }, new Map<string, number[]>())
    this.#say(`round ${round}: ${[...did].map(([kind, [fine, failed]]) => `${kind} ${fine}/${failed}`).join(', ')}`)
    const { fds, threads, rss } = vitals(world)
    this.#say(`daemon ${world.pid}: ${fds} descriptors, ${threads} threads, ${rss} MB`)
    if (round % 5 === 0) await this.#empty()
  }

  async #trouble(chance: Chance, end: number): Promise<void> {
    const names = this.#wish.troubles.length > 0 ? this.#wish.troubles : Object.keys(troubles)
    while (Date.now() < end) {
      await sleep(chance.between(500, 7000))
      await troubles[chance.one(names)]!(this.#world, chance, (what) => this.#say(what))
    }
  }

  /** All that was promised, and nothing else. */
  async #look(chance: Chance): Promise<void> {
    this.#log()
    for (const worker of this.#workers) {
      const running = new Set((await this.#world.must(['docker', 'ps', '--format', '{{.Names}}'])).split('\n'))
      for (const name of worker.containers.keys())
        if (!running.has(name)) this.#fault(`container ${name} does not run any more`)
    }
    const all = (await this.#world.must(['docker', 'ps', '-aq'])).split('\n').filter(Boolean)
    if (all.length > 0) await this.#world.must(['docker', 'rm', '-fv', ...all])
    for (const worker of this.#workers) worker.containers.clear()
    await this.#atRest('leftovers', () => remains(this.#world, this.#rules))
    await this.#atRest('records', async () => disagreements(join(this.#world.home, 'lib')))
    await this.#atRest('df', () => usageGaps(this.#world))
    for (const worker of this.#workers) await this.#settle(worker, chance)
    for (const worker of this.#workers) await this.#sameAsFresh(worker)
    await this.#atRest('records after looking', async () => disagreements(join(this.#world.home, 'lib')))
    this.#log()
  }

  async #atRest(what: string, look: () => Promise<string[]>): Promise<void> {
    const end = Date.now() + restMs
    for (;;) {
      const found = await look()
      if (found.length === 0) return
      if (Date.now() > end) return this.#fault(`${what}: ${found.join('; ')}`)
      await sleep(250)
    }
  }

  /** Each name of an image is what somebody was told. */
  async #settle(worker: Worker, chance: Chance): Promise<void> {
    const world = this.#world
    const local = new Set((await world.must(['docker', 'images', '--format', '{{.Repository}}:{{.Tag}}'])).split('\n'))
    await this.#each('image', worker.images, async (name) => {
      if (!local.has(name)) return undefined
      const archive = join(world.dir, 'settle.tar')
      await world.must(['docker', 'save', '-o', archive, name])
      const files = await archiveFiles(archive, world.dir)
      rmSync(archive)
      if (files[0]?.['/soak/sum'] && chance.happens(0.2)) {
        const text = await world.must(['docker', 'run', '--rm', '--network=none', name, 'cat', '/soak/sum'])
        if (!files.some((each) => each['/soak/sum'] && text.length === 64)) this.#fault(`${name} runs wrongly: ${text}`)
      }
      return files
    })
    await this.#each('pushed', worker.pushed, async (path) => {
      const [repository = '', tag = ''] = path.split(':')
      const files = await registryFiles(world.registry.host, repository, tag, world.dir)
      if (files && chance.happens(0.1))
        await world.must(['skopeo', 'inspect', '--tls-verify=false', `docker://${world.registry.host}/${path}`])
      return files
    })
  }

  async #each(kind: string, ledger: Ledger, find: (name: string) => Promise<Files[] | undefined>): Promise<void> {
    for (const name of ledger.names()) {
      try {
        const found = await find(name)
        const may = [...ledger.may(name)]
        const state = may.find((each) => (each === 'absent' ? found === undefined : found && isOne(found, each)))
        if (state === undefined)
          this.#fault(
            `${kind} ${name} is ${found ? JSON.stringify(found).slice(0, 500) : 'gone'}, and may be ${JSON.stringify(may).slice(0, 800)}`,
          )
        ledger.saw(name, state ?? 'absent')
      } catch (error) {
        this.#fault(`${kind} ${name} is not whole: ${String(error)}`)
        ledger.saw(name, 'absent')
      }
    }
  }

  /** What the cache gives is what a build without it gives. */
  async #sameAsFresh(worker: Worker): Promise<void> {
    const world = this.#world
    const { dir, secret } = worker.project
    const build = async (...more: string[]): Promise<string> => {
      const dest = join(world.dir, 'fresh.tar')
      const base = ['docker', 'buildx', 'build', '--secret', `id=soak,src=${secret}`, '-o', `type=tar,dest=${dest}`]
      await world.must([...base, ...more, dir])
      const unpacked = join(world.dir, 'fresh')
      const script =
        'rm -rf "$2" && mkdir "$2" && tar -xf "$1" -C "$2" && cd "$2" && find . -printf "%p %y %m %U:%G %l\\n" | sort && find . -type f -print0 | sort -z | xargs -0 sha256sum && cd / && rm -rf "$2" "$1"'
      return execFileSync('sh', ['-c', script, 'sh', dest, unpacked], { encoding: 'utf8', maxBuffer: 1 << 24 })
    }
    const [cached, fresh] = [await build(), await build('--no-cache')]
    if (cached !== fresh) this.#fault(`the cache gives ${worker.name} another result:\n${cached}\nfresh:\n${fresh}`)
  }

  /** What the daemon itself says went wrong. */
  #log(): void {
    const text = readFileSync(join(this.#world.home, 'log/daemon.log'), 'utf8')
    for (const line of text.slice(this.#logged).split('\n'))
      if (
        / ERROR |TypeError|Unhandled|Uncaught|^Error/.test(line) &&
        !/ENOSPC|no space left|disk is full|another daemon serves/.test(line)
      )
        this.#fault(`log: ${line.slice(0, 600)}`)
    this.#logged = text.length
  }

  /** Without images, containers and cache there is nothing. */
  async #empty(): Promise<void> {
    const world = this.#world
    await world.must(['docker', 'image', 'prune', '-af'])
    await world.must(['docker', 'builder', 'prune', '-af'])
    await world.must(['docker', 'volume', 'prune', '-af'])
    const { snapshots, content, build, ...rest } = sizes(world)
    const most = (what: string, kB: number | undefined, limit: number): void => {
      if ((kB ?? 0) > limit)
        this.#fault(
          `${what} has ${kB} kB when everything is gone: ${execFileSync('find', [join(world.home, 'lib')], { encoding: 'utf8' }).slice(0, 2000)}`,
        )
    }
    most('snapshots', snapshots, 8)
    most('content', content, 24)
    most('build', build, 64)
    this.#say(`empty: ${JSON.stringify({ snapshots, content, build, ...rest })}`)
    for (const { images } of this.#workers) for (const name of images.names()) images.saw(name, 'absent')
    await world.importBase()
  }

  async last(): Promise<void> {
    await this.#empty()
    this.#say(JSON.stringify(vitals(this.#world)))
  }
}
