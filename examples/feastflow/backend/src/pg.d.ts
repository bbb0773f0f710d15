/** The little of node-postgres that is used here. */
declare module 'pg' {
  export interface Result<Row> {
    rows: Row[]
    rowCount: number
  }
  export interface Queryable {
    query<Row = Record<string, unknown>>(text: string, values?: unknown[]): Promise<Result<Row>>
  }
  export interface PoolClient extends Queryable {
    release(error?: Error | boolean): void
  }
  export class Pool implements Queryable {
    constructor(options: Record<string, unknown>)
    query<Row = Record<string, unknown>>(text: string, values?: unknown[]): Promise<Result<Row>>
    connect(): Promise<PoolClient>
    end(): Promise<void>
    on(event: 'error', listener: (error: Error) => void): this
  }
}
