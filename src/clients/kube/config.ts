/** How to reach one Kubernetes API, and as whom. Everything is PEM or plain text; nothing is read from files later. */
export interface HttpConfig {
  /** `https://host:port/prefix`; this or `socketPath`. */
  server?: string | undefined
  /** A unix socket that speaks HTTP. */
  socketPath?: string | undefined
  /** Authorities to trust instead of the system's. */
  ca?: string | undefined
  insecureSkipTlsVerify?: boolean | undefined
  /** Name the server's certificate must have, when it is not the host's. */
  serverName?: string | undefined
  cert?: string | undefined
  key?: string | undefined
  token?: string | undefined
  basic?: { username: string; password: string } | undefined
  impersonate?:
    | { user: string; groups?: string[]; uid?: string | undefined; extra?: Record<string, string[]> }
    | undefined
  /** Credentials that change: token files and exec plugins. Called before requests; `again` after a 401, once. */
  credentials?: ((again: boolean) => Promise<Credentials>) | undefined
  /** Name of the context this came from. */
  context?: string | undefined
  /** Where objects without a namespace go; default 'default'. */
  namespace?: string | undefined
}
export interface Credentials {
  token?: string | undefined
  cert?: string | undefined
  key?: string | undefined
}

/** Runs a program to its end; stderr goes to the user. Rejects when there is no such program. */
export type RunProgram = (
  argv: readonly string[],
  options: { env: Record<string, string> },
) => Promise<{ code: number; stdout: string }>
