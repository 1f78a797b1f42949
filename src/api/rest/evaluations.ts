import { notImplemented } from './route.js'

/** Evaluations of models. */
export const evaluationRoutes = [
  notImplemented('POST', '/evaluations', 'Submitting an evaluation'),
  notImplemented('GET', '/evaluations', 'Listing evaluations'),
  notImplemented('GET', '/evaluations/{id}', 'Reading an evaluation'),
  notImplemented('POST', '/evaluations/{id}/cancel', 'Cancelling an evaluation'),
]
