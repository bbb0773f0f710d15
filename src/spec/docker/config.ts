/** docker's config.json, also as Kubernetes' secrets carry it (kubernetes.io/dockerconfigjson). */
export interface DockerConfig {
  auths?: Record<string, DockerConfigEntry>
  /** Registry → helper program, without its 'docker-credential-'. */
  credHelpers?: Record<string, string>
  /** The helper for all others. */
  credsStore?: string
}
export interface DockerConfigEntry {
  /** Base64 of "user:password". */
  auth?: string
  username?: string
  password?: string
  identitytoken?: string
}

/** How clients have always written the default registry. */
export const defaultRegistryKey = 'https://index.docker.io/v1/'

/** "https://index.docker.io/v1/" → "docker.io", "https://r.example.org/v2/" → "r.example.org" */
export const registryOfKey = (key: string): string => {
  const host = key.replace(/^https?:\/\//, '').split('/')[0]!
  return host === 'index.docker.io' || host === 'registry-1.docker.io' ? 'docker.io' : host
}

export const credentialsOf = (
  entry: DockerConfigEntry,
): { identityToken: string } | { username: string; password: string } => {
  if (entry.identitytoken) return { identityToken: entry.identitytoken }
  const [username = '', ...rest] = Buffer.from(entry.auth ?? '', 'base64')
    .toString()
    .split(':')
  return { username: entry.username ?? username, password: entry.password ?? rest.join(':') }
}
