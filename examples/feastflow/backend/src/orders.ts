import { pool, transaction, withRetry } from './database'
import { HttpError } from './http'

/** How far an order is, by its age in seconds. There is no kitchen; time does the cooking. */
const stages: [after: number, status: string][] = [
  [60, 'delivered'],
  [35, 'on its way'],
  [10, 'preparing'],
  [0, 'received'],
]
const statusAt = (created: Date): string => {
  const age = (Date.now() - created.getTime()) / 1000
  return stages.find(([after]) => age >= after)?.[1] ?? 'received'
}

export interface Order {
  id: number
  restaurantId: number
  restaurant: string
  customer: string
  address: string
  status: string
  totalCents: number
  createdAt: string
  items: { menuItemId: number; name: string; quantity: number; priceCents: number }[]
}
interface Row {
  id: string
  restaurant_id: number
  restaurant: string
  customer: string
  address: string
  total_cents: number
  created_at: Date
  items: Order['items']
}
const select = `
  SELECT o.id, o.restaurant_id, r.name AS restaurant, o.customer, o.address, o.total_cents, o.created_at,
    (SELECT coalesce(json_agg(json_build_object('menuItemId', i.menu_item_id, 'name', m.name, 'quantity', i.quantity,
      'priceCents', i.price_cents) ORDER BY i.menu_item_id), '[]')
     FROM order_items i JOIN menu_items m ON m.id = i.menu_item_id WHERE i.order_id = o.id) AS items
  FROM orders o JOIN restaurants r ON r.id = o.restaurant_id`
const toOrder = (row: Row): Order => ({
  id: Number(row.id),
  restaurantId: row.restaurant_id,
  restaurant: row.restaurant,
  customer: row.customer,
  address: row.address,
  status: statusAt(row.created_at),
  totalCents: row.total_cents,
  createdAt: row.created_at.toISOString(),
  items: row.items,
})

export const restaurants = async (): Promise<unknown> => {
  const { rows } = await withRetry(() =>
    pool.query(
      'SELECT id, name, cuisine, emblem, rating::float8 AS rating, delivery_minutes AS "deliveryMinutes" FROM restaurants ORDER BY id',
    ),
  )
  return rows
}

export const menu = async (id: number): Promise<unknown> => {
  const found = await withRetry(() => pool.query('SELECT id, name, cuisine, emblem FROM restaurants WHERE id = $1', [id]))
  if (!found.rows[0]) throw new HttpError(404, `there is no restaurant ${id}`)
  const { rows } = await withRetry(() =>
    pool.query('SELECT id, name, description, price_cents AS "priceCents" FROM menu_items WHERE restaurant_id = $1 ORDER BY id', [id]),
  )
  return { restaurant: found.rows[0], items: rows }
}

export const order = async (id: number): Promise<Order> => {
  const { rows } = await withRetry(() => pool.query<Row>(`${select} WHERE o.id = $1`, [id]))
  if (!rows[0]) throw new HttpError(404, `there is no order ${id}`)
  return toOrder(rows[0])
}

export const latestOrders = async (): Promise<Order[]> => {
  const { rows } = await withRetry(() => pool.query<Row>(`${select} ORDER BY o.id DESC LIMIT 20`))
  return rows.map(toOrder)
}

const text = (value: unknown, name: string): string => {
  if (typeof value !== 'string' || !value.trim() || value.length > 200) throw new HttpError(400, `${name} must be 1 to 200 characters`)
  return value.trim()
}
const count = (value: unknown, name: string, most: number): number => {
  if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > most)
    throw new HttpError(400, `${name} must be a whole number from 1 to ${most}`)
  return value as number
}

/** `key` makes repeating safe: the same key is the same order. */
export const placeOrder = async (body: unknown, key: string | undefined): Promise<Order> => {
  const said = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>
  const restaurantId = count(said.restaurantId, 'restaurantId', 1_000_000)
  const customer = text(said.customer, 'customer')
  const address = text(said.address, 'address')
  const lines = Array.isArray(said.items) ? (said.items as Record<string, unknown>[]) : []
  if (!lines.length || lines.length > 50) throw new HttpError(400, 'items must be a list of 1 to 50')
  const wanted = new Map<number, number>()
  for (const line of lines) {
    const id = count(line?.menuItemId, 'menuItemId', 1_000_000_000)
    wanted.set(id, (wanted.get(id) ?? 0) + count(line?.quantity ?? 1, 'quantity', 99))
  }
  const write = (): Promise<number> =>
    transaction(async (client) => {
      const { rows } = await client.query<{ id: number; price_cents: number }>(
        'SELECT id, price_cents FROM menu_items WHERE restaurant_id = $1 AND id = ANY ($2)',
        [restaurantId, [...wanted.keys()]],
      )
      if (rows.length !== wanted.size) throw new HttpError(400, `restaurant ${restaurantId} does not offer all of that`)
      const total = rows.reduce((sum, row) => sum + row.price_cents * wanted.get(row.id)!, 0)
      const made = await client.query<{ id: string }>(
        `INSERT INTO orders (restaurant_id, customer, address, total_cents, request_key) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (request_key) DO NOTHING RETURNING id`,
        [restaurantId, customer, address, total, key ?? null],
      )
      if (!made.rows[0]) {
        const before = await client.query<{ id: string }>('SELECT id FROM orders WHERE request_key = $1', [key])
        return Number(before.rows[0]!.id)
      }
      for (const row of rows)
        await client.query('INSERT INTO order_items VALUES ($1, $2, $3, $4)', [made.rows[0].id, row.id, wanted.get(row.id), row.price_cents])
      return Number(made.rows[0].id)
    })
  // Without a key a lost COMMIT must not be repeated: it may have succeeded.
  return order(await (key === undefined ? write() : withRetry(write)))
}
