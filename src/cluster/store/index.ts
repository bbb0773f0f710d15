export { type Change, type ObjectStore, openStore } from './store.ts'
