/** What stat says of files of an overlay. */

/** Overlayfs marks a deleted file by a character device 0:0. */
export const isWhiteout = (stat: { isCharacterDevice(): boolean; rdev: number | bigint }): boolean =>
  stat.isCharacterDevice() && Number(stat.rdev) === 0

/** Major and minor of a Linux dev_t as stat gives it. */
export const deviceNumbers = (rdev: bigint): { major: number; minor: number } => ({
  major: Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n)),
  minor: Number((rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n)),
})
