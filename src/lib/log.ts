/** A log line: what happened, to what. Fields are flat and JSON-safe; secrets never go in. */
export interface Log {
  debug(message: string, fields?: Record<string, unknown>): void
  info(message: string, fields?: Record<string, unknown>): void
  warn(message: string, fields?: Record<string, unknown>): void
  error(message: string, fields?: Record<string, unknown>): void
  /** A log whose lines carry `room` (engine, kubelet, …). */
  room(room: string): Log
}

const levels = ['debug', 'info', 'warn', 'error'] as const
type Level = (typeof levels)[number]

/** Writes `2026-01-02T03:04:05.678Z INFO kubelet: message key=value` lines to `write`. */
export const createLog = (write: (line: string) => void, minimum: Level = 'info', room = ''): Log => {
  const at =
    (level: Level) =>
    (message: string, fields: Record<string, unknown> = {}): void => {
      if (levels.indexOf(level) < levels.indexOf(minimum)) return
      const tail = Object.entries(fields).map(([k, v]) => ` ${k}=${typeof v === 'string' ? v : JSON.stringify(v)}`)
      write(`${new Date().toISOString()} ${level.toUpperCase()} ${room && `${room}: `}${message}${tail.join('')}\n`)
    }
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    room: (name) => createLog(write, minimum, name),
  }
}

export const silentLog: Log = createLog(() => {})
