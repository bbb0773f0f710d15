/** Subresources other than status. */
import type { ApiRequest, ApiResponse } from '../types.ts'
import { noResource } from './errors.ts'
import type { Resource, Write } from './resource.ts'
import type { Server } from './server.ts'

export const handleSubresource = (
  _server: Server,
  _resource: Resource,
  _request: ApiRequest,
  _write: Write,
): ApiResponse => {
  throw noResource()
}
