import type { CachedJob } from '../cache/jobs.js'
import type { JobView } from './job-types.js'

/** A copy from the cache, and whether it may be old. A class, since a page makes twenty: objects with getters of their own take several times as long to make. */
export class CachedView implements JobView {
  readonly job: JobView['job']
  constructor(
    private readonly cached: CachedJob,
    readonly stale: boolean,
  ) {
    this.job = cached.job
  }
  get syncedAt(): Date {
    return this.cached.syncedAt
  }
}
