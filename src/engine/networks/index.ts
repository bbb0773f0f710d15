export { type Element, elementsOfPublication, type RulesKeeper } from './firewall.ts'
export { defaultRouteLines, endpointLines } from './links.ts'
export { createNetworks, type NetworkRoom } from './networks.ts'
