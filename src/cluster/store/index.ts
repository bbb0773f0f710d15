export { openStore, type Change, type ObjectStore, type StoreOptions } from './store.ts'
