/** Events, as docker tells them. */

/** As docker's: type 'container' | 'image' | 'network' | 'volume' | 'builder'; action 'create', 'start', 'die', 'exec_create: ls', … */
export interface EngineEvent {
  type: string
  action: string
  id: string
  attributes: Record<string, string>
  timeNs: bigint
}
export interface Events {
  emit(event: Omit<EngineEvent, 'timeNs'>): void
  /** Past ones since `since` (ms), then live until `until` or abort. */
  subscribe(options: { since?: number; until?: number; signal?: AbortSignal }): AsyncIterable<EngineEvent>
  /** Synchronous, in-process, live only. Returns the function that ends it. */
  on(listener: (event: EngineEvent) => void): () => void
}
