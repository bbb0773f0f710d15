export { type Change, type ObjectStore, openStore, type StoreOptions } from './store.ts'
