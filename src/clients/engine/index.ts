export { createEngineClient, type EngineClient, type EngineLine } from './client.ts'
