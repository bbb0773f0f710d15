import { Pool, type PoolClient, type Queryable } from 'pg'
import { menus } from './menus'

export const pool = new Pool({
  host: process.env.DB_HOST ?? 'localhost',
  port: Number(process.env.DB_PORT ?? 5432),
  database: process.env.DB_NAME ?? 'feastflow',
  user: process.env.DB_USER ?? 'feastflow',
  password: process.env.DB_PASSWORD ?? '',
  max: 10,
  idleTimeoutMillis: 30_000,
  connectionTimeoutMillis: 2500,
  keepAlive: true,
})
// An idle connection that breaks leaves the pool by itself; the next query opens a new one.
pool.on('error', (error) => console.warn(`database connection lost: ${error.message}`))

/** Connection trouble, not a wrong query: worth another try. SQLSTATE classes 08 and 57, and socket errors. */
const isPassing = (error: unknown): boolean => {
  const { code = '', message = '' } = error as { code?: string; message?: string }
  return (
    /^(08|57P)|^(ECONN|EPIPE|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ETIMEDOUT)/.test(code) ||
    /Connection terminated|timeout exceeded|terminating connection/i.test(message)
  )
}
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Runs `work` again when the connection broke: it must be safe to repeat. */
export const withRetry = async <T>(work: () => Promise<T>, tries = 4): Promise<T> => {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (attempt >= tries || !isPassing(error)) throw error
      await pause(50 * 2 ** attempt)
    }
  }
}

export const transaction = async <T>(work: (client: Queryable) => Promise<T>): Promise<T> => {
  const client: PoolClient = await pool.connect()
  try {
    await client.query('BEGIN')
    const result = await work(client)
    await client.query('COMMIT')
    client.release()
    return result
  } catch (error) {
    // A connection in an unknown state is thrown away rather than returned.
    client.release(true)
    throw error
  }
}

const schema = `
  CREATE TABLE IF NOT EXISTS restaurants (
    id integer PRIMARY KEY, name text NOT NULL, cuisine text NOT NULL, emblem text NOT NULL,
    rating numeric(2, 1) NOT NULL, delivery_minutes integer NOT NULL);
  CREATE TABLE IF NOT EXISTS menu_items (
    id integer PRIMARY KEY, restaurant_id integer NOT NULL REFERENCES restaurants,
    name text NOT NULL, description text NOT NULL, price_cents integer NOT NULL CHECK (price_cents >= 0));
  CREATE TABLE IF NOT EXISTS orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, restaurant_id integer NOT NULL REFERENCES restaurants,
    customer text NOT NULL, address text NOT NULL, total_cents integer NOT NULL, request_key text UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now());
  CREATE TABLE IF NOT EXISTS order_items (
    order_id bigint NOT NULL REFERENCES orders ON DELETE CASCADE, menu_item_id integer NOT NULL REFERENCES menu_items,
    quantity integer NOT NULL CHECK (quantity > 0), price_cents integer NOT NULL, PRIMARY KEY (order_id, menu_item_id));
`

/** Makes tables and first rows. Replicas start together: one does it at a time, the others find it done. */
export const prepare = (): Promise<void> =>
  transaction(async (client) => {
    await client.query('SELECT pg_advisory_xact_lock(726583)')
    await client.query(schema)
    for (const { items, ...r } of menus) {
      await client.query(
        'INSERT INTO restaurants VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING',
        [r.id, r.name, r.cuisine, r.emblem, r.rating, r.deliveryMinutes],
      )
      for (const [i, item] of items.entries())
        await client.query('INSERT INTO menu_items VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING', [
          r.id * 100 + i,
          r.id,
          item[0],
          item[1],
          item[2],
        ])
    }
  })

/** The database may come later than we do. */
export const prepareWhenThere = async (): Promise<void> => {
  for (let wait = 100; ; wait = Math.min(2000, wait * 2)) {
    try {
      return await prepare()
    } catch (error) {
      console.warn(`database is not ready: ${(error as Error).message}`)
      await pause(wait)
    }
  }
}
