/** A build with every kind of phase: context, copies, several runs, mounts, a cache that goes elsewhere. */
import { createReadStream } from 'node:fs'
import type { BuildRequest } from '../../src/build/index.ts'

export const interruptedText = `FROM base:1 AS one
COPY . /context
RUN --mount=type=cache,target=/c --mount=type=tmpfs,target=/t echo one > /one; echo c > /c/f
FROM base:1
WORKDIR /w
COPY --from=one /one /context/big /w/
COPY --link --chown=5:5 . /linked
RUN --mount=type=bind,from=one,target=/from cat /from/one /w/one > both
`

/** `tar` is the context's archive. */
export const interruptedBuild = (tar: string): Omit<BuildRequest, 'progress'> => ({
  ...{
    context: { tar: createReadStream(tar) },
    dockerfile: { inline: interruptedText },
    args: {},
    labels: {},
    tags: [],
  },
})
