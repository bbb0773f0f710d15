/** Sources of a build as its policy has them, by the identifiers that BuildKit's operations give them. */
import { SlipwayError } from '../errors.ts'
import type { GitAddress } from './context/git.ts'
import { judge, type SourceId, type SourceRule } from './source-policy.ts'

type Rules = readonly SourceRule[]
const imagePrefix = 'docker-image://'

const impossible = (from: string, to: string): SlipwayError =>
  new SlipwayError('unsupported', `source policy: ${from} cannot become ${to}`, {
    hint: 'Images become other images, files others at http(s) addresses, repositories other repositories.',
  })

/** The reference that takes the place of a whole name, if there is one. */
export const policedImage = (rules: Rules, name: string): string | undefined => {
  const own = imagePrefix + name
  const { identifier } = judge(rules, { identifier: own, attrs: {} })
  if (identifier === own) return undefined
  if (!identifier.startsWith(imagePrefix)) throw impossible(own, identifier)
  return identifier.slice(imagePrefix.length)
}

/** What cannot become anything else: 'local://context', 'oci-layout://…'. */
export const policed = (rules: Rules, own: string): void => {
  const { identifier } = judge(rules, { identifier: own, attrs: {} })
  if (identifier !== own) throw impossible(own, identifier)
}

export const policedUrl = (
  rules: Rules,
  { url, checksum }: { url: string; checksum?: string | undefined },
): { url: string; checksum?: string | undefined } => {
  if (rules.length === 0) return { url, checksum }
  const found = judge(rules, { identifier: url, attrs: checksum === undefined ? {} : { 'http.checksum': checksum } })
  if (!/^https?:\/\//.test(found.identifier)) throw impossible(url, found.identifier)
  return { url: found.identifier, checksum: found.attrs['http.checksum'] || undefined }
}

export const policedGit = (rules: Rules, address: GitAddress): GitAddress => {
  if (rules.length === 0) return address
  const own = gitSource(address)
  const { identifier, attrs } = judge(rules, own)
  const [, path, ref, subdirectory] = /^git:\/\/([^#]*)(?:#([^:]*)(?::(.*))?)?$/.exec(identifier) ?? []
  if (path === undefined) throw impossible(own.identifier, identifier)
  return {
    ...address,
    remote: attrs['git.fullurl'] || `https://${path}`,
    ref: ref || undefined,
    subdirectory: subdirectory ?? '',
    checksum: attrs['git.checksum'] || undefined,
    keepGitDir: attrs['git.keepgitdir'] === 'true' || undefined,
  }
}

/** `git://HOST/PATH#REF:SUBDIRECTORY`, however the repository is reached; how it is, is an attribute. */
const gitSource = ({ remote, ref, subdirectory, checksum, keepGitDir }: GitAddress): SourceId => {
  const scp = /^(?:[\w.-]+@)?([\w.-]+):(?!\/\/)\/*(.*)$/.exec(remote)
  const place = scp ? `${scp[1]}/${scp[2]}` : remote.replace(/^[a-z]+:\/\/(?:[^/@]*@)?/, '')
  const part = ref === undefined && subdirectory === '' ? '' : `#${ref ?? ''}${subdirectory && `:${subdirectory}`}`
  return {
    identifier: `git://${place}${part}`,
    attrs: {
      'git.fullurl': remote,
      ...(checksum === undefined ? {} : { 'git.checksum': checksum }),
      ...(keepGitDir ? { 'git.keepgitdir': 'true' } : {}),
    },
  }
}
