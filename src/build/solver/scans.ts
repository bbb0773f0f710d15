/** What a scanner is shown besides the result: the build context and stages that the result was made from. */
import { scanArgs } from '../dockerfile/instructions/arg.ts'
import type { Rootfs } from './graph.ts'
import type { StageResult } from './stage.ts'

export interface Extra {
  /** `context`, or the stage's. */
  name: string
  root: Rootfs
}

/** An argument says yes or no, or names the stages that it is meant for; one above the first stage holds for all of them. */
export const isScanned = (
  what: keyof typeof scanArgs,
  stageName: string,
  { args }: Pick<StageResult, 'args'>,
  globals: ReadonlyMap<string, string>,
): boolean => {
  const value = args.get(scanArgs[what]) ?? globals.get(scanArgs[what]) ?? ''
  return /^(?:1|t|T|true|TRUE|True)$/.test(value) || value.split(',').includes(stageName)
}
