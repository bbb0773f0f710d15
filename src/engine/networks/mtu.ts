import { readFileSync } from 'node:fs'

/** MTU of the link of the default route; 1500 where there is none. Read each time: laptops move. */
export const defaultMtu = (): number => {
  try {
    const lines = readFileSync('/proc/net/route', 'utf8').split('\n').slice(1)
    const link = lines
      .map((line) => line.split('\t'))
      .find((fields) => fields[1] === '00000000' && fields[7] === '00000000')
    if (!link) return 1500
    const mtu = Number(readFileSync(`/sys/class/net/${link[0]}/mtu`, 'utf8'))
    return mtu >= 576 ? Math.min(mtu, 65535) : 1500
  } catch {
    return 1500
  }
}
