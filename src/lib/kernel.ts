/** Is a kernel (uname -r) of this version, 'MAJOR.MINOR', or newer? */
export const kernelAtLeast = (release: string, minimum: string): boolean => {
  const [a = 0, b = 0] = release.split('.').map((part) => Number.parseInt(part, 10))
  const [c = 0, d = 0] = minimum.split('.').map((part) => Number.parseInt(part, 10))
  return a > c || (a === c && b >= d)
}
