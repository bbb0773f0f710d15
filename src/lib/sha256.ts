/** Digest in hex. node:crypto is loaded by those who ask: for a short command that takes long. */
export const sha256Hex = (data: Uint8Array | string): string =>
  process.getBuiltinModule('node:crypto').createHash('sha256').update(data).digest('hex')
