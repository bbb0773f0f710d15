/** One user: does one thing after another, on names of its own, and keeps what it was told. */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Chance } from './chance.ts'
import { type Files, Ledger } from './ledger.ts'
import { drawProject, type Project } from './projects.ts'
import { archiveFiles, isOne } from './verify.ts'
import type { Said, World } from './world.ts'

export class Worker {
  readonly name: string
  readonly images = new Ledger()
  /** REPOSITORY:TAG in the registry. */
  readonly pushed = new Ledger()
  /** Containers that run, and what they were made from. */
  readonly containers = new Map<string, Files>()
  readonly done = new Map<string, { fine: number; failed: number }>()
  project: Project
  readonly #world: World
  readonly #chance: Chance
  readonly #blame: (what: string) => void
  readonly #archives = new Map<string, Files>()
  #count = 0

  constructor(name: string, world: World, chance: Chance, blame: (what: string) => void) {
    this.name = name
    this.#world = world
    this.#chance = chance
    this.#blame = (what) => blame(`${name}: ${what}`)
    this.project = this.#draw()
  }

  /** Operations by the names that the command line knows, and how often each is done beside the others. */
  readonly operations: Readonly<Record<string, { weight: number; run: () => Promise<void> }>> = {
    build: { weight: 8, run: () => this.#build() },
    change: { weight: 3, run: async () => void (this.project = this.#draw()) },
    push: { weight: 4, run: () => this.#push() },
    pull: { weight: 4, run: () => this.#pull() },
    tag: { weight: 2, run: () => this.#tag() },
    rmi: { weight: 3, run: () => this.#remove() },
    save: { weight: 2, run: () => this.#save() },
    load: { weight: 2, run: () => this.#load() },
    run: { weight: 2, run: () => this.#run() },
    container: { weight: 2, run: () => this.#container() },
    commit: { weight: 2, run: () => this.#commit() },
    import: { weight: 1, run: () => this.#importExport() },
    prune: { weight: 1, run: () => this.#prune() },
    look: { weight: 2, run: () => this.#look() },
  }

  async work(wanted: readonly string[], until: () => boolean): Promise<void> {
    const names = Object.keys(this.operations).filter((name) => wanted.length === 0 || wanted.includes(name))
    const lots = names.flatMap((name) => Array<string>(this.operations[name]!.weight).fill(name))
    while (!until()) await this.operations[this.#chance.one(lots)]!.run()
  }

  #draw(): Project {
    const base = this.#chance.one(['busybox', 'busybox', `${this.#world.host}/base:1`])
    return drawProject(join(this.#world.dir, `project-${this.name}`), this.#chance, base)
  }

  #new(kind: string): string {
    return `${this.name}-${kind}-${++this.#count}`
  }

  /** Of names that are certainly there. */
  #known(): string | undefined {
    const names = this.images.certainNames()
    return names.length === 0 ? undefined : this.#chance.one(names)
  }

  /** Asks, and says what came of it; who fails without a reason is blamed. */
  async #ask(
    kind: string,
    argv: string[],
    options: Parameters<World['ask']>[1] = {},
  ): Promise<Said & { came: 'done' | 'refused' | 'unknown' }> {
    const world = this.#world
    const begun = Date.now()
    const stop = this.#chance.happens(0.08)
      ? { after: this.#chance.between(20, 2500), signal: this.#chance.one(['SIGINT', 'SIGINT', 'SIGKILL'] as const) }
      : undefined
    const said = await world.ask(argv, { ...options, stop })
    const count = this.done.get(kind) ?? { fine: 0, failed: 0 }
    this.done.set(kind, count)
    count[said.code === 0 ? 'fine' : 'failed']++
    const excused =
      world.troubledSince(begun) ||
      (stop && Date.now() - begun >= stop.after) ||
      (world.cuts > 0 && /127\.0\.0\.1:/.test(argv.join(' ') + said.text))
    if (/HANGS/.test(said.text) || (said.code !== 0 && !excused))
      this.#blame(`${argv.join(' ')} → ${said.code}\n${said.text.slice(-3000)}`)
    if (/internal error|TypeError|is not a function|Cannot read prop|SQLITE|database is locked|assert/i.test(said.text))
      this.#blame(`${argv.join(' ')} says\n${said.text.slice(-3000)}`)
    return { ...said, came: said.code === 0 ? 'done' : 'unknown' }
  }

  async #build(): Promise<void> {
    const { project } = this
    const chance = this.#chance
    const by =
      project.plain && !project.anyPlatform
        ? chance.one(['legacy', 'buildx', 'slipway'])
        : chance.one(['buildx', 'buildx', 'slipway'])
    const cached = chance.happens(0.15) ? ['--no-cache'] : []
    const secret = project.plain ? [] : ['--secret', `id=soak,src=${project.secret}`]
    const label = ['--label', `owner=${this.name}`]
    if (by === 'legacy') {
      const name = `${this.#new('legacy')}:1`
      const argv = ['docker', 'build', ...label, ...cached, '-t', name, project.dir]
      return this.images.change(
        [name],
        project.files,
        async () => (await this.#ask('legacy', argv, { env: { DOCKER_BUILDKIT: '0' } })).came,
      )
    }
    const program = by === 'buildx' ? ['docker', 'buildx', 'build'] : ['slipway', 'image', 'build']
    const caches: string[] = []
    if (chance.happens(0.25))
      caches.push(
        '--cache-to',
        `type=registry,ref=${this.#world.host}/${this.name}/cache:1,mode=${chance.one(['min', 'max'])}`,
      )
    if (chance.happens(0.2)) caches.push('--cache-from', `type=registry,ref=${this.#world.host}/${this.name}/cache:1`)
    if (chance.happens(0.15))
      caches.push('--cache-to', `type=local,dest=${join(this.#world.dir, `${this.name}-cache`)}`)
    const platforms = project.anyPlatform ? ['--platform', chance.one(['linux/amd64,linux/arm64', 'linux/amd64'])] : []
    await this.#output(by, [...program, ...label, ...cached, ...secret, ...caches, ...platforms], project)
  }

  async #output(by: string, argv: string[], project: Project): Promise<void> {
    const ask = async (...more: string[]) => await this.#ask(by, [...argv, ...more, project.dir])
    const kind = this.#chance.one(['image', 'image', 'image', 'push', 'oci', 'docker', 'local', 'tar', 'none'])
    if (kind === 'image') {
      const name = `${this.#new(by)}:1`
      return this.images.change([name], project.files, async () => (await ask('-t', name)).came)
    }
    if (kind === 'push') {
      const path = `${this.name}/${this.#new(by)}:1`
      return this.pushed.change(
        [path],
        project.files,
        async () =>
          // With buildx's docker driver the name is local too.
          (await ask('--output', `type=registry,name=${this.#world.host}/${path}`)).came,
      )
    }
    if (kind === 'none') return void (await ask('--output', 'type=cacheonly'))
    const dest = join(this.#world.dir, this.#new(kind))
    const several = argv.join(' ').includes('arm64')
    if (kind === 'docker' && several) return
    const { came } = await ask('--output', `type=${kind},dest=${dest}`)
    if (came === 'done') await this.#outputIsRight(kind, dest, project.files, several)
    rmSync(dest, { recursive: true, force: true })
  }

  async #outputIsRight(kind: string, dest: string, files: Files, several: boolean): Promise<void> {
    if (kind === 'oci' || kind === 'docker') {
      const found = await archiveFiles(dest, this.#world.dir)
      if (!isOne(found, files)) this.#blame(`the ${kind} archive of a build is another: ${JSON.stringify(found)}`)
      return
    }
    const token = several ? 'linux_amd64/soak/token' : 'soak/token'
    const { text } =
      kind === 'tar'
        ? await this.#world.ask(['tar', '-xOf', dest, token])
        : { text: existsSync(join(dest, token)) ? readFileSync(join(dest, token), 'utf8') : 'nothing' }
    if (text !== readFileSync(join(this.project.dir, 'token'), 'utf8'))
      this.#blame(`the ${kind} output of a build has ${text.slice(0, 200)} as token`)
  }

  async #push(): Promise<void> {
    const source = this.#known()
    if (source === undefined) return
    const files = this.images.certain(source)!
    const path = `${this.name}/${this.#chance.happens(0.3) ? 'same' : this.#new('push')}:1`
    const name = `${this.#world.host}/${path}`
    await this.images.change([name], files, async () => (await this.#ask('tag', ['docker', 'tag', source, name])).came)
    if (this.images.certain(name) !== files) return
    const by = this.#chance.one([
      ['docker', 'push'],
      ['slipway', 'image', 'push'],
    ])
    await this.pushed.change([path], files, async () => (await this.#ask('push', [...by, name])).came)
  }

  async #pull(): Promise<void> {
    const paths = this.pushed.certainNames()
    if (paths.length === 0) return
    const path = this.#chance.one(paths)
    const name = `${this.#world.host}/${path}`
    const files = this.pushed.certain(path)!
    if (this.images.certain(name) && this.#chance.happens(0.7)) await this.#untag(name)
    const by = this.#chance.one([
      ['docker', 'pull'],
      ['slipway', 'image', 'pull'],
    ])
    await this.images.change([name], files, async () => (await this.#ask('pull', [...by, name])).came)
  }

  async #tag(): Promise<void> {
    const source = this.#known()
    if (source === undefined) return
    const name = `${this.#new('tag')}:1`
    const files = this.images.certain(source)!
    await this.images.change([name], files, async () => (await this.#ask('tag', ['docker', 'tag', source, name])).came)
  }

  async #untag(name: string): Promise<void> {
    const force = this.#chance.happens(0.5) || this.containers.size > 0 ? ['-f'] : []
    await this.images.change(
      [name],
      'absent',
      async () => (await this.#ask('rmi', ['docker', 'rmi', ...force, name])).came,
    )
  }

  async #remove(): Promise<void> {
    const name = this.#known()
    if (name !== undefined) await this.#untag(name)
  }

  async #save(): Promise<void> {
    const name = this.#known()
    if (name === undefined) return
    const archive = join(this.#world.dir, `${this.#new('save')}.tar`)
    const by = this.#chance.one([
      ['docker', 'save'],
      ['slipway', 'image', 'save'],
    ])
    const { came } = await this.#ask('save', [...by, '-o', archive, name])
    const files = this.images.certain(name)!
    if (came !== 'done') return rmSync(archive, { force: true })
    const found = await archiveFiles(archive, this.#world.dir).catch((error: Error) => error)
    if (found instanceof Error || !isOne(found, files))
      this.#blame(`what was saved of ${name} is not it: ${String(found)}`)
    this.#archives.set(`${archive} ${name}`, files)
    if (this.#archives.size <= 3) return
    const [oldest] = this.#archives.keys()
    this.#archives.delete(oldest!)
    rmSync(oldest!.split(' ')[0]!, { force: true })
  }

  async #load(): Promise<void> {
    if (this.#archives.size === 0) return
    const [key, files] = this.#chance.one([...this.#archives])
    const [archive = '', name = ''] = key.split(' ')
    if (this.images.certain(name) && this.#chance.happens(0.7)) await this.#untag(name)
    await this.images.change(
      [name],
      files,
      async () => (await this.#ask('load', ['docker', 'load', '-i', archive])).came,
    )
  }

  /** Files that a container of it tells. */
  async #tells(kind: string, argv: string[], files: Files): Promise<void> {
    const path = this.#chance.one(Object.keys(files))
    const { came, text } = await this.#ask(kind, [...argv, '/bin/busybox', 'sha256sum', path])
    if (came !== 'done' || text.includes(files[path]!)) return
    this.#blame(`${argv.join(' ')}: ${path} is ${text}, not ${files[path]}`)
    // Once more, and what the image itself says.
    const image = argv.at(-1)!
    const again = await this.#world.ask([...argv, '/bin/busybox', 'sha256sum', path])
    const archive = join(this.#world.dir, 'wrong.tar')
    await this.#world.ask(['docker', 'save', '-o', archive, image])
    const found = await archiveFiles(archive, this.#world.dir).catch((error: Error) => [{ [path]: String(error) }])
    const about = await this.#world.ask(['docker', 'image', 'inspect', image])
    this.#blame(`again: ${again.text}; in its archive: ${found.map((each) => each[path])}; ${about.text}`)
  }

  async #run(): Promise<void> {
    const name = this.#known()
    if (name === undefined || !this.images.certain(name)!['/soak/sum']) return
    await this.#tells(
      'run',
      ['docker', 'run', '--rm', '--network', this.#chance.one(['none', 'bridge']), name],
      this.images.certain(name)!,
    )
  }

  async #container(): Promise<void> {
    const [running, ...others] = this.containers
    if (running && (others.length > 1 || this.#chance.happens(0.4))) {
      await this.#tells('exec', ['docker', 'exec', running[0]], running[1])
      this.containers.delete(running[0])
      await this.#ask('rm', ['docker', 'rm', '-f', running[0]])
      return
    }
    const image = this.#known()
    const files = image === undefined ? undefined : this.images.certain(image)!
    if (image === undefined || !files?.['/soak/sum']) return
    const name = this.#new('container')
    const { came } = await this.#ask('run -d', ['docker', 'run', '-d', '--name', name, image, 'sleep', '3600'])
    if (came === 'done') this.containers.set(name, files)
  }

  async #commit(): Promise<void> {
    const [container] = this.containers
    if (!container) return
    const name = `${this.#new('commit')}:1`
    await this.images.change(
      [name],
      container[1],
      async () =>
        (await this.#ask('commit', ['docker', 'commit', '-c', `LABEL owner=${this.name}`, container[0], name])).came,
    )
  }

  async #importExport(): Promise<void> {
    const [container] = this.containers
    if (!container) return
    const archive = join(this.#world.dir, `${this.#new('export')}.tar`)
    const { came } = await this.#ask('export', ['docker', 'export', '-o', archive, container[0]])
    const name = `${this.#new('import')}:1`
    if (came === 'done')
      await this.images.change(
        [name],
        container[1],
        async () =>
          (await this.#ask('import', ['docker', 'import', '-c', `LABEL owner=${this.name}`, archive, name])).came,
      )
    rmSync(archive, { force: true })
  }

  async #prune(): Promise<void> {
    const kind = this.#chance.between(0, 3)
    if (kind === 0) return void (await this.#ask('builder prune', ['docker', 'builder', 'prune', '-f']))
    if (kind === 1) return void (await this.#ask('builder prune -a', ['docker', 'builder', 'prune', '-af']))
    if (kind === 2) return void (await this.#ask('image prune', ['docker', 'image', 'prune', '-f']))
    // Those of containers stay, and so does what has no such label.
    const names = this.images.certainNames()
    if (this.containers.size > 0) return
    for (const name of this.images.names()) if (!names.includes(name)) this.images.doubt(name, 'absent')
    const argv = ['docker', 'image', 'prune', '-af', '--filter', `label=owner=${this.name}`]
    await this.images.change(names, 'absent', async () => (await this.#ask('image prune -a', argv)).came)
  }

  async #look(): Promise<void> {
    const argv = this.#chance.one([
      ['system', 'df', '-v'],
      ['images', '-a'],
      ['ps', '-a'],
      ['builder', 'du'],
      ['image', 'history', 'busybox'],
      ['info'],
    ])
    await this.#ask('look', ['docker', ...argv])
  }
}
