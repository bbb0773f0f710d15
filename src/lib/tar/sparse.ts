import { BLOCK } from './header.ts'
import { invalidTar, readDecimal, readNumber } from './numbers.ts'

/** Where the stored bytes of a sparse file belong. Segments are in order and do not overlap. */
export interface SparseMap {
  realSize: number
  segments: { offset: number; length: number }[]
}

const maxSegments = 100_000

export const checkSparse = (map: SparseMap, stored: number): SparseMap => {
  let at = 0
  let sum = 0
  for (const { offset, length } of map.segments) {
    if (offset < at) throw invalidTar('invalid sparse map')
    at = offset + length
    sum += length
  }
  if (at > map.realSize || sum !== stored || map.segments.length > maxSegments) throw invalidTar('invalid sparse map')
  return map
}

/** Old GNU format: up to `count` 24-byte pairs at `offset`; an empty pair ends the list. */
export const readOldSparse = (block: Buffer, offset: number, count: number, map: SparseMap): void => {
  for (let i = 0; i < count; i++) {
    const at = offset + i * 24
    if (block[at] === 0) return
    if (map.segments.length >= maxSegments) throw invalidTar('invalid sparse map')
    map.segments.push({ offset: readNumber(block, at, 12), length: readNumber(block, at + 12, 12) })
  }
}

/** PAX 0.1: "offset,length,offset,length,…". */
export const readMapRecord = (text: string, realSize: number): SparseMap => {
  const numbers = text === '' ? [] : text.split(',').map(readDecimal)
  return pairs(numbers, realSize)
}

/**
 * PAX 1.0: the map stands before the content, one decimal a line, padded to a block. Takes what has been read so far;
 * undefined when more is needed.
 */
export const readMapPrefix = (data: Buffer, realSize: number): { map: SparseMap; length: number } | undefined => {
  const numbers: number[] = []
  let at = 0
  while (numbers.length === 0 || numbers.length < 1 + numbers[0]! * 2) {
    const end = data.indexOf(0x0a, at)
    if (end === -1) {
      if (data.length - at > 32) throw invalidTar('invalid sparse map')
      return undefined
    }
    numbers.push(readDecimal(data.toString('latin1', at, end)))
    if (numbers[0]! > maxSegments) throw invalidTar('invalid sparse map')
    at = end + 1
  }
  const length = Math.ceil(at / BLOCK) * BLOCK
  if (data.length < length) return undefined
  return { map: pairs(numbers.slice(1), realSize), length }
}

const pairs = (numbers: number[], realSize: number): SparseMap => {
  if (numbers.length % 2 !== 0) throw invalidTar('invalid sparse map')
  const map: SparseMap = { realSize, segments: [] }
  for (let i = 0; i < numbers.length; i += 2) map.segments.push({ offset: numbers[i]!, length: numbers[i + 1]! })
  return map
}
