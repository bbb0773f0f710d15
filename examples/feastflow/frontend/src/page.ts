/** The page in the browser. No framework: a few functions that draw what the API says. */
interface Restaurant {
  id: number
  name: string
  cuisine: string
  emblem: string
  rating: number
  deliveryMinutes: number
}
interface MenuItem {
  id: number
  name: string
  description: string
  priceCents: number
}
interface Order {
  id: number
  restaurant: string
  customer: string
  status: string
  totalCents: number
  createdAt: string
  items: { name: string; quantity: number }[]
}

const stages = ['received', 'preparing', 'on its way', 'delivered']
const basket = new Map<number, number>()
let restaurant: Restaurant | undefined
let items: MenuItem[] = []

const $ = (id: string): HTMLElement => document.getElementById(id)!
const money = (cents: number): string => `€${(cents / 100).toFixed(2)}`

/** An element with its attributes and children. Text is always text, never HTML. */
const el = (tag: string, attributes: Record<string, string> = {}, ...children: (Node | string)[]): HTMLElement => {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  element.append(...children)
  return element
}
const button = (label: string, onClick: () => void, attributes: Record<string, string> = {}): HTMLElement => {
  const element = el('button', { type: 'button', ...attributes }, label)
  element.addEventListener('click', onClick)
  return element
}

const api = async <T>(path: string, init?: RequestInit): Promise<T> => {
  const response = await fetch(path, init)
  const body = await response.json().catch(() => ({}))
  if (!response.ok) throw new Error(body.error ?? `${response.status} ${response.statusText}`)
  return body as T
}
const say = (text: string, isError = false): void => {
  const message = $('message')
  message.textContent = text
  message.className = isError ? 'show error' : 'show'
  setTimeout(() => message.classList.remove('show'), 4000)
}
const attempt = (work: () => Promise<void>): void => {
  work().catch((error: Error) => say(error.message, true))
}

const drawRestaurants = async (): Promise<void> => {
  const list = await api<Restaurant[]>('/api/restaurants')
  $('restaurants').replaceChildren(
    ...list.map((r) => {
      const card = button('', () => attempt(() => openMenu(r)), { class: 'card', 'aria-pressed': String(r.id === restaurant?.id), 'data-id': String(r.id) })
      card.append(
        el('span', { class: 'emblem', 'aria-hidden': 'true' }, r.emblem),
        el('strong', {}, r.name),
        el('span', { class: 'quiet' }, `${r.cuisine} · ★ ${r.rating.toFixed(1)} · ${r.deliveryMinutes} min`),
      )
      return card
    }),
  )
}

const openMenu = async (chosen: Restaurant): Promise<void> => {
  items = (await api<{ items: MenuItem[] }>(`/api/restaurants/${chosen.id}/menu`)).items
  if (restaurant?.id !== chosen.id) basket.clear()
  restaurant = chosen
  for (const card of document.querySelectorAll('.card')) card.setAttribute('aria-pressed', String(card.getAttribute('data-id') === String(chosen.id)))
  drawMenu()
}

const drawMenu = (): void => {
  $('menu-title').textContent = restaurant ? `${restaurant.emblem} ${restaurant.name}` : 'Menu'
  $('menu').replaceChildren(
    ...items.map((item) => {
      const amount = basket.get(item.id) ?? 0
      const change = (by: number) => (): void => {
        const next = Math.max(0, amount + by)
        if (next) basket.set(item.id, next)
        else basket.delete(item.id)
        drawMenu()
      }
      return el(
        'li',
        {},
        el('div', {}, el('strong', {}, item.name), el('span', { class: 'quiet' }, item.description)),
        el('span', { class: 'price' }, money(item.priceCents)),
        el('span', { class: 'amount' }, button('−', change(-1), { 'aria-label': `One ${item.name} less` }), el('output', {}, String(amount)), button('+', change(1), { 'aria-label': `One ${item.name} more` })),
      )
    }),
  )
  const total = items.reduce((sum, item) => sum + item.priceCents * (basket.get(item.id) ?? 0), 0)
  $('total').textContent = total ? money(total) : ''
  ;($('place') as HTMLButtonElement).disabled = total === 0
}

const placeOrder = async (form: HTMLFormElement): Promise<void> => {
  const said = new FormData(form)
  const made = await api<Order>('/api/orders', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'Idempotency-Key': `${Date.now()}-${Math.random().toString(36).slice(2)}` },
    body: JSON.stringify({
      restaurantId: restaurant?.id,
      customer: said.get('customer'),
      address: said.get('address'),
      items: [...basket].map(([menuItemId, quantity]) => ({ menuItemId, quantity })),
    }),
  })
  basket.clear()
  drawMenu()
  say(`Order ${made.id} is in. Thank you!`)
  await drawOrders()
}

const drawOrders = async (): Promise<void> => {
  const orders = await api<Order[]>('/api/orders')
  $('orders').replaceChildren(
    ...(orders.length ? [] : [el('li', { class: 'quiet' }, 'No orders yet.')]),
    ...orders.map((order) => {
      const stage = stages.indexOf(order.status)
      const bar = el('progress', { max: '3', value: String(stage), 'aria-label': order.status })
      return el(
        'li',
        { 'data-order': String(order.id) },
        el('div', {}, el('strong', {}, `#${order.id} · ${order.restaurant}`), el('span', { class: 'quiet' }, `${order.items.map((i) => `${i.quantity} × ${i.name}`).join(', ')} · for ${order.customer}`)),
        el('span', { class: 'price' }, money(order.totalCents)),
        el('span', { class: `status s${stage}` }, order.status, bar),
      )
    }),
  )
}

const drawVersion = async (): Promise<void> => {
  const [front, back] = await Promise.all([api<{ version: string; host: string }>('/version'), api<{ version: string; host: string }>('/api/version')])
  $('version').textContent = `page ${front.version} from ${front.host} · API ${back.version} from ${back.host}`
}

$('order').addEventListener('submit', (event) => {
  event.preventDefault()
  attempt(() => placeOrder(event.target as HTMLFormElement))
})
attempt(async () => {
  await drawRestaurants()
  drawMenu()
  await drawOrders()
  await drawVersion()
})
setInterval(() => attempt(async () => (await drawOrders(), drawVersion())), 3000)
