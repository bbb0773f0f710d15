/** JSON Merge Patch (RFC 7386). */
import { cloneJson, isRecord } from '../../lib/json.ts'

export const applyMergePatch = (target: unknown, patch: unknown): unknown => {
  if (!isRecord(patch)) return cloneJson(patch)
  const result: Record<string, unknown> = isRecord(target) ? { ...target } : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key]
    else if (key !== '__proto__') result[key] = applyMergePatch(result[key], value)
  }
  return result
}
