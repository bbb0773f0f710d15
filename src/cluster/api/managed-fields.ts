/** metadata.managedFields: who set which field, and the conflicts that follow from it. Source: apimachinery managedfields. */
import { equalJson } from '../../lib/json.ts'
import { timestamp } from '../../lib/timestamp.ts'
import {
  compareFields,
  difference,
  type FieldSet,
  intersection,
  isEmptySet,
  pathsOf,
  union,
} from '../../spec/kube/field-set.ts'
import type { ManagedFieldsEntry } from '../../spec/kube/generated/types.ts'
import { statusError } from '../../spec/kube/status.ts'
import type { Context, Draft, Resource, Write } from './resource.ts'

type Operation = 'Apply' | 'Update'
type Entry = ManagedFieldsEntry

const stripped = [
  'name',
  'namespace',
  'creationTimestamp',
  'selfLink',
  'uid',
  'generation',
  'managedFields',
  'resourceVersion',
]
/** The part of an object whose fields are owned by someone. */
export const ownable = (object: Draft): Draft => {
  const { apiVersion: _a, kind: _k, metadata, ...rest } = object
  const meta: Draft = {}
  for (const key of Object.keys(metadata ?? {})) if (!stripped.includes(key)) meta[key] = metadata[key]
  return Object.keys(meta).length > 0 ? { ...rest, metadata: meta } : rest
}

const sameManager = (a: Entry, b: Entry): boolean =>
  a.manager === b.manager &&
  a.operation === b.operation &&
  (a.subresource ?? '') === (b.subresource ?? '') &&
  (a.operation === 'Apply' || a.apiVersion === b.apiVersion)

export const entryFor = (context: Context, resource: Resource, write: Write, operation: Operation): Entry => ({
  manager: write.manager,
  operation,
  apiVersion: resource.apiVersion,
  time: timestamp(context.clock.now()),
  fieldsType: 'FieldsV1',
  ...(write.subresource && write.subresource !== 'binding' ? { subresource: write.subresource } : {}),
})
const fields = (entry: Entry): FieldSet => (entry.fieldsV1 ?? {}) as FieldSet

const order = (a: Entry, b: Entry): number =>
  a.operation! < b.operation!
    ? -1
    : a.operation! > b.operation!
      ? 1
      : (a.time ?? '') < (b.time ?? '')
        ? -1
        : (a.time ?? '') > (b.time ?? '')
          ? 1
          : (a.manager ?? '') < (b.manager ?? '')
            ? -1
            : 1

const sorted = (set: FieldSet): FieldSet => {
  const result: FieldSet = {}
  for (const key of Object.keys(set).sort()) result[key] = sorted(set[key]!)
  return result
}
const mostUpdaters = 10
/** Old updaters are folded into one, so that the list cannot grow without end. */
const capped = (entries: Entry[]): Entry[] => {
  const updaters = entries.filter((e) => e.operation === 'Update' && !e.subresource).sort(order)
  const surplus = updaters.slice(0, Math.max(0, updaters.length - mostUpdaters))
  if (surplus.length === 0) return entries
  const folded: Entry = { ...surplus.at(-1)!, manager: 'ancient-changes' }
  for (const entry of surplus) folded.fieldsV1 = union(fields(folded), fields(entry)) as Record<string, unknown>
  return [folded, ...entries.filter((e) => !surplus.includes(e))]
}
const finish = (entries: Entry[]): Entry[] | undefined => {
  const kept = capped(entries.filter((e) => !isEmptySet(fields(e)))).sort(order)
  return kept.length > 0 ? kept : undefined
}
const write = (draft: Draft, entries: Entry[]): void => {
  const kept = finish(entries)
  if (kept) draft.metadata.managedFields = kept
  else delete draft.metadata.managedFields
}

/** What the others keep when these fields change hands or go. */
const takeFrom = (others: Entry[], changed: FieldSet | undefined, removed: FieldSet | undefined): Entry[] =>
  others.map((entry) => {
    const before = fields(entry)
    const after = difference(difference(before, intersection(before, changed)), removed)
    return after === before || equalJson(after, before)
      ? entry
      : { ...entry, fieldsV1: (after ?? {}) as Record<string, unknown> }
  })

export const trackCreate = (context: Context, resource: Resource, draft: Draft, by: Write): void => {
  delete draft.metadata.managedFields
  // Status is the controllers' from the start.
  const { status: _, ...own } = ownable(draft)
  const { changed } = compareFields(resource.schema, {}, own)
  if (isEmptySet(changed)) return
  write(draft, [
    { ...entryFor(context, resource, by, 'Update'), fieldsV1: sorted(changed!) as Record<string, unknown> },
  ])
}

/** A client may rewrite the list itself (an upgrade from client-side apply does); leaving it out changes nothing. */
const given = (draft: Draft, old: Draft): Entry[] => {
  const own = draft.metadata.managedFields as Entry[] | undefined
  if (!own) return old.metadata.managedFields ?? []
  return own.filter((entry) => entry.manager !== undefined || entry.operation !== undefined)
}

export const trackUpdate = (context: Context, resource: Resource, draft: Draft, old: Draft, by: Write): void => {
  const entries = given(draft, old)
  const { changed, removed } = compareFields(resource.schema, ownable(old), ownable(draft))
  if (!changed && !removed) {
    write(draft, entries)
    return
  }
  const mine = entryFor(context, resource, by, 'Update')
  const before = entries.find((entry) => sameManager(entry, mine))
  const others = takeFrom(
    entries.filter((entry) => entry !== before),
    changed,
    removed,
  )
  const set = difference(union(before && fields(before), changed), removed)
  const next =
    !set || isEmptySet(set)
      ? []
      : before && equalJson(fields(before), set)
        ? [before]
        : [{ ...mine, fieldsV1: sorted(set) as Record<string, unknown> }]
  write(draft, [...others, ...next])
}

const managerText = (entry: Entry): string => {
  const name = `${JSON.stringify(entry.manager ?? '')}${entry.subresource ? ` with subresource ${JSON.stringify(entry.subresource)}` : ''}`
  if (entry.operation !== 'Update') return name
  return `${name} using ${entry.apiVersion}${entry.time ? ` at ${entry.time}` : ''}`
}

const conflictError = (conflicts: { entry: Entry; path: string }[]) => {
  const causes = conflicts.map(({ entry, path }) => ({
    reason: 'FieldManagerConflict',
    message: `conflict with ${managerText(entry)}`,
    field: path,
  }))
  let text: string
  if (conflicts.length === 1)
    text = `1 conflict: conflict with ${managerText(conflicts[0]!.entry)}: ${conflicts[0]!.path}`
  else {
    const lines: string[] = []
    for (const manager of [...new Set(conflicts.map((c) => managerText(c.entry)))].sort()) {
      lines.push(`conflicts with ${manager}:`)
      for (const c of conflicts) if (managerText(c.entry) === manager) lines.push(`- ${c.path}`)
    }
    text = `${conflicts.length} conflicts: ${lines.join('\n')}`
  }
  return statusError('conflict', `Apply failed with ${text}`, { details: { causes } })
}

/**
 * The managers after an apply that sets `set` and makes `draft` of `old`; throws 'conflict' with a cause per field when others
 * own what changes, unless `force`.
 */
export const trackApply = (
  context: Context,
  resource: Resource,
  draft: Draft,
  old: Draft | undefined,
  by: Write,
  set: FieldSet,
  force: boolean,
): void => {
  const entries: Entry[] = old?.metadata.managedFields ?? []
  const mine = entryFor(context, resource, by, 'Apply')
  const before = entries.find((entry) => sameManager(entry, mine))
  const others = entries.filter((entry) => entry !== before)
  const { changed, removed } = compareFields(resource.schema, old ? ownable(old) : {}, ownable(draft))
  if (!force) {
    const conflicts = others.flatMap((entry) =>
      pathsOf(intersection(fields(entry), changed)).map((path) => ({ entry, path })),
    )
    if (conflicts.length > 0) throw conflictError(conflicts)
  }
  const rest = takeFrom(others, changed, removed)
  const next =
    before && equalJson(fields(before), set) && before.apiVersion === mine.apiVersion
      ? before
      : { ...mine, fieldsV1: sorted(set) as Record<string, unknown> }
  write(draft, [...rest, next])
}
