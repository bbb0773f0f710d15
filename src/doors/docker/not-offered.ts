/** Plugins and checkpoints: nothing of them is here, and every request says so as dockerd would. */
import { SlipwayError } from '../../errors.ts'
import { type Handler, type Route, route } from './server.ts'

const noPlugin: Handler = (x) => {
  throw new SlipwayError('not-found', `plugin "${x.params.name}" not found`)
}
/** A body that is not JSON is said first. */
const afterBody =
  (handler: Handler): Handler =>
  async (x) => {
    await x.json()
    return handler(x)
  }
const noPlugins: Handler = () => {
  throw new SlipwayError('unsupported', 'plugins are not offered by this engine')
}

export const pluginRoutes: readonly Route[] = [
  route('GET', '/plugins', (x) => x.send(200, [])),
  route('GET', '/plugins/privileges', noPlugins),
  route('POST', '/plugins/pull', afterBody(noPlugins)),
  route('POST', '/plugins/create', noPlugins),
  route('GET', '/plugins/:name*/json', noPlugin),
  ...['enable', 'disable', 'push'].map((verb) => route('POST', `/plugins/:name*/${verb}`, noPlugin)),
  ...['upgrade', 'set'].map((verb) => route('POST', `/plugins/:name*/${verb}`, afterBody(noPlugin))),
  route('DELETE', '/plugins/:name*', noPlugin),
]

const experimental: Handler = () => {
  throw new SlipwayError(
    'unsupported',
    'This experimental feature is disabled by default. Start the Docker daemon in experimental mode in order to enable it.',
  )
}

export const checkpointRoutes: readonly Route[] = [
  route('GET', '/containers/:id/checkpoints', experimental),
  route('POST', '/containers/:id/checkpoints', experimental),
  route('DELETE', '/containers/:id/checkpoints/:checkpoint', experimental),
]
