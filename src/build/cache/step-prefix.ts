/** Names of the snapshots steps result in. */
export const stepPrefix = 'build-'
