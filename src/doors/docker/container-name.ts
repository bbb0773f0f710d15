/** Names for containers that were given none. */
import type { Containers } from '../../engine/types.ts'

const left = [
  'brave',
  'calm',
  'clever',
  'eager',
  'fair',
  'gentle',
  'happy',
  'keen',
  'kind',
  'lively',
  'merry',
  'noble',
  'proud',
  'quick',
  'quiet',
  'sharp',
  'steady',
  'swift',
  'warm',
  'wise',
]
const right = [
  'anchor',
  'bollard',
  'bow',
  'cable',
  'compass',
  'cradle',
  'crane',
  'deck',
  'dock',
  'ferry',
  'harbor',
  'hull',
  'keel',
  'lantern',
  'mast',
  'pier',
  'quay',
  'rudder',
  'sail',
  'winch',
]
export const freeName = (containers: Pick<Containers, 'list'>): string => {
  const pick = (words: string[]): string => words[Math.floor(Math.random() * words.length)]!
  for (let tries = 0; ; tries++) {
    const name = `${pick(left)}_${pick(right)}${tries > 4 ? Math.floor(Math.random() * 10 ** (tries - 3)) : ''}`
    if (!containers.list().some((c) => c.spec.name === name)) return name
  }
}
