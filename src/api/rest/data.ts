import { notImplemented } from './route.js'

/** Data sources and the copies that nodes keep. */
export const dataRoutes = [
  notImplemented('POST', '/data/validate', 'Validating data sources'),
  notImplemented('GET', '/data/cache', 'Listing cached data'),
  notImplemented('DELETE', '/data/cache/{id}', 'Evicting cached data'),
]
