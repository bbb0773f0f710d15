import { existsSync } from 'node:fs'
import { SlipwayError } from '../../errors.ts'

/** Small static init programs, in order of preference: docker's own name, Debian's tini package, catatonit. */
const inits = [
  '/usr/bin/docker-init',
  '/usr/libexec/docker/docker-init',
  '/usr/bin/tini-static',
  '/usr/libexec/podman/catatonit',
  '/usr/bin/catatonit',
]

export const findInit = (): string => {
  const found = inits.find((path) => existsSync(path))
  if (found !== undefined) return found
  throw new SlipwayError('unavailable', 'no init program for containers was found', {
    hint: 'Install the package tini on this machine, or leave out --init.',
  })
}
