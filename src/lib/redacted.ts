/** An address as it may be told: who asked, and with which password, is left out. */
export const redacted = (address: string): string =>
  address.replace(/^([a-z][a-z0-9+.-]*:\/\/)([^/@]+)@/i, (_, scheme: string, user: string) =>
    user.includes(':') ? `${scheme}xxxxx:xxxxx@` : `${scheme}xxxxx@`,
  )
