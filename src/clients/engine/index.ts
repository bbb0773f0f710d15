export { createEngineClient, type EngineClient, type EngineLine } from './client.ts'
export { demultiplex, type TakenOver } from './streams.ts'
