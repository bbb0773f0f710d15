/** Credential plugins (client.authentication.k8s.io ExecCredential). */
import { resolve } from 'node:path'
import { messageOf, SlipwayError } from '../../errors.ts'
import type { Credentials, HttpConfig, RunProgram } from './config.ts'

export interface ExecPlugin {
  command: string
  args?: string[] | null
  env?: { name: string; value: string }[] | null
  apiVersion?: string
  installHint?: string
  provideClusterInfo?: boolean
}
interface ExecCredential {
  kind?: string
  status?: {
    token?: string
    clientCertificateData?: string
    clientKeyData?: string
    expirationTimestamp?: string
  }
}

const variables = (env: Record<string, string | undefined>): Record<string, string> =>
  Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined))

/** Credentials from a plugin, kept until they expire or the server refuses them. */
export const execCredentials = (
  plugin: ExecPlugin,
  given: {
    folder: string
    env: Record<string, string | undefined>
    run: RunProgram | undefined
    cluster: Record<string, unknown>
  },
): NonNullable<HttpConfig['credentials']> => {
  const { folder, env, run, cluster } = given
  const apiVersion = plugin.apiVersion ?? 'client.authentication.k8s.io/v1'
  // As kubectl: a path is relative to the kubeconfig, a bare name is looked up in PATH.
  const command = plugin.command.includes('/') ? resolve(folder, plugin.command) : plugin.command
  let last: { credentials: Credentials; until: number } | undefined
  let running: Promise<Credentials> | undefined

  const fetch = async (): Promise<Credentials> => {
    if (!run)
      throw new SlipwayError('unsupported', `credentials come from the program ${command}, which cannot be run here`)
    const info = {
      apiVersion,
      kind: 'ExecCredential',
      spec: { interactive: false, ...(plugin.provideClusterInfo && { cluster: clusterInfo(cluster) }) },
    }
    const own = Object.fromEntries((plugin.env ?? []).map(({ name, value }) => [name, value]))
    const failed = (why: string, cause?: unknown): SlipwayError =>
      new SlipwayError('unauthorized', `getting credentials: exec: ${why}`, { cause, hint: plugin.installHint })
    const result = await run([command, ...(plugin.args ?? [])], {
      env: { ...variables(env), ...own, KUBERNETES_EXEC_INFO: JSON.stringify(info) },
    }).catch((cause: unknown) => {
      throw failed(`executable ${command}: ${messageOf(cause)}`, cause)
    })
    if (result.code !== 0) throw failed(`executable ${command} failed with exit code ${result.code}`)
    let answer: ExecCredential
    try {
      answer = JSON.parse(result.stdout) as ExecCredential
    } catch (cause) {
      throw failed(`decoding stdout of ${command}: ${messageOf(cause)}`, cause)
    }
    const { token, clientCertificateData, clientKeyData, expirationTimestamp } = answer.status ?? {}
    if (answer.kind !== 'ExecCredential' || (!token && !clientCertificateData)) {
      throw failed('plugin did not return a token or cert/key pair')
    }
    const until = expirationTimestamp ? Date.parse(expirationTimestamp) : Number.POSITIVE_INFINITY
    last = { credentials: { token, cert: clientCertificateData, key: clientKeyData }, until }
    return last.credentials
  }
  return async (again) => {
    if (last && !again && Date.now() < last.until) return last.credentials
    running ??= fetch().finally(() => {
      running = undefined
    })
    return running
  }
}

const clusterInfo = (cluster: Record<string, unknown>): unknown => ({
  server: cluster.server,
  'tls-server-name': cluster['tls-server-name'],
  'insecure-skip-tls-verify': cluster['insecure-skip-tls-verify'],
  'certificate-authority-data': cluster['certificate-authority-data'],
})
