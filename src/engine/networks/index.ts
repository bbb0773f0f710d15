export { type Element, elementsOfPublication, type Publication, type RulesKeeper } from './firewall.ts'
export { defaultRouteLines, endpointLines } from './links.ts'
export { createNetworks, type NetworkRoom } from './networks.ts'
