/** What the instructions of a Dockerfile become: operations on a root filesystem, as data. The solver performs them. */

/** Where files are read from: the build context, or what a name stands for (a stage, its index, an image, a named context). */
export type FilesFrom = { kind: 'context' } | { kind: 'named'; name: string }

export type CopySource =
  /** A path or Go filepath.Match pattern below the root of `from`. With `parents`, `pivot` is what is cut off the names. */
  | { kind: 'path'; path: string; pivot?: string | undefined; unpack: boolean }
  /** A here-document: a 0644 file. */
  | { kind: 'inline'; name: string; data: string }
  /** With `git`, the address of a repository: its files, as an archive. The checksum is then that of the commit. */
  | {
      kind: 'url'
      url: string
      name: string
      unpack: boolean
      checksum?: string | undefined
      git?: boolean
      keepGitDir?: boolean
    }

export interface CopyOp {
  kind: 'copy'
  verb: 'ADD' | 'COPY'
  from: FilesFrom
  sources: CopySource[]
  /** Absolute; a trailing slash says that it is a directory. */
  dest: string
  /** 'user', 'user:group', names or numbers; names are looked up in the image that is written to. Default 0:0. */
  chown?: string | undefined
  /** Octal or symbolic. */
  chmod?: string | undefined
  parents: boolean
  /** As in .dockerignore, relative to the source. */
  exclude: string[]
  /** The layer does not depend on what is below it. */
  link: boolean
  /** For a mount: a directory that is copied keeps its own mode and owner. */
  keepSource?: boolean | undefined
}
export interface MkdirOp {
  kind: 'mkdir'
  path: string
  /** As chown of CopyOp, for directories that are made. */
  owner?: string | undefined
}

export type RunMount =
  | { type: 'bind'; from: FilesFrom; source: string; target: string; readOnly: boolean }
  | {
      type: 'cache'
      id: string
      from?: FilesFrom | undefined
      source: string
      target: string
      readOnly: boolean
      sharing: 'shared' | 'private' | 'locked'
      mode?: number | undefined
      uid?: number | undefined
      gid?: number | undefined
    }
  | { type: 'tmpfs'; target: string; size?: number | undefined }
  | {
      type: 'secret'
      id: string
      /** undefined when it is only an environment variable. */
      target?: string | undefined
      env?: string | undefined
      required: boolean
      mode: number
      uid: number
      gid: number
    }
  /** An agent's socket; SSH_AUTH_SOCK names the first one. */
  | { type: 'ssh'; id: string; target: string; required: boolean; mode: number; uid: number; gid: number }

export interface RunOp {
  kind: 'run'
  args: string[]
  /** 'KEY=value', without the proxy variables. */
  env: string[]
  cwd: string
  user: string
  mounts: RunMount[]
  /** undefined: the build's. */
  network?: 'default' | 'none' | 'host' | undefined
  insecure: boolean
  /** VENDOR/CLASS=NAME */
  devices: string[]
  /** A here-document that begins with `#!`: an executable at /dev/pipes/NAME while the step runs. */
  document?: { name: string; data: string } | undefined
}

export type Op = CopyOp | MkdirOp | RunOp
