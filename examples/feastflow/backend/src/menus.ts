type Item = [name: string, description: string, priceCents: number]
interface Menu {
  id: number
  name: string
  cuisine: string
  emblem: string
  rating: number
  deliveryMinutes: number
  items: Item[]
}

export const menus: Menu[] = [
  {
    id: 1, name: 'Trattoria Lucia', cuisine: 'Italian', emblem: '🍝', rating: 4.8, deliveryMinutes: 30,
    items: [
      ['Margherita', 'San Marzano tomatoes, fior di latte, basil', 950],
      ['Tagliatelle al ragù', 'Slow-cooked beef and pork, egg pasta', 1290],
      ['Melanzane alla parmigiana', 'Baked aubergine, tomato, parmesan', 1150],
      ['Tiramisù', 'Made this morning', 590],
    ],
  },
  {
    id: 2, name: 'Sakura House', cuisine: 'Japanese', emblem: '🍣', rating: 4.7, deliveryMinutes: 40,
    items: [
      ['Salmon nigiri', 'Six pieces', 1090],
      ['Tonkotsu ramen', 'Pork broth, chashu, soft egg', 1380],
      ['Vegetable gyoza', 'Pan-fried, eight pieces', 720],
      ['Mochi', 'Red bean, three pieces', 480],
    ],
  },
  {
    id: 3, name: 'Casa Verde', cuisine: 'Mexican', emblem: '🌮', rating: 4.5, deliveryMinutes: 25,
    items: [
      ['Tacos al pastor', 'Three, with pineapple and coriander', 990],
      ['Black bean burrito', 'Rice, beans, guacamole', 890],
      ['Elote', 'Grilled corn, lime, cotija', 450],
      ['Churros', 'With chocolate', 520],
    ],
  },
  {
    id: 4, name: 'Spice Route', cuisine: 'Indian', emblem: '🍛', rating: 4.6, deliveryMinutes: 35,
    items: [
      ['Chana masala', 'Chickpeas, tomato, ginger', 980],
      ['Butter chicken', 'Tandoori chicken, cashew and tomato', 1340],
      ['Garlic naan', 'From the tandoor', 320],
      ['Mango lassi', 'Alphonso mango', 390],
    ],
  },
]
