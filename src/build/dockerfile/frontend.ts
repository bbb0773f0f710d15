/** `# syntax=IMAGE`: which frontend a file is written for. There is one here, for the language of docker/dockerfile. */

const ours = /(^|\/)dockerfile(-upstream)?$/

/** The frontend's image, where it is another one than Docker's (under whatever registry or mirror), with the usual names of it. */
export const foreignFrontend = (syntax: string | undefined): string | undefined => {
  const image = syntax?.split(/\s/, 1)[0]
  if (!image || image === 'dockerfile.v0') return undefined
  const repository = image.replace(/@.*$/, '').replace(/:[^/]*$/, '')
  return ours.test(repository) ? undefined : image
}
