import type { Logger } from 'pino'
import type { LogRecord__Output } from '../../generated/proto/scaimind/v1/LogRecord.js'
import type { MetricRecord__Output } from '../../generated/proto/scaimind/v1/MetricRecord.js'
import type { ExchangeTokens } from '../auth/token-exchange.js'
import type { EvaluationsOfJobs } from '../cache/evaluations-of-jobs.js'
import type { JobChanges } from '../cache/job-changes.js'
import type { JobCache } from '../cache/jobs.js'
import type { CoordinatorClient } from '../coordinator-client/index.js'
import type { Hub } from '../live/hub.js'
import type { JobEvents } from '../live/job-events.js'

/** What the use cases of jobs work on. */
export interface JobParts {
  cache: JobCache
  evaluationsOfJobs: EvaluationsOfJobs
  coordinator: CoordinatorClient
  metricsHub: Hub<MetricRecord__Output>
  logsHub: Hub<LogRecord__Output>
  events: JobEvents
  changes: Pick<JobChanges, 'settled'>
  /** Whether the cache holds what the coordinator has now. */
  isFresh(): boolean
  /** What a submission fetches data and models with. */
  exchangeTokens: ExchangeTokens
  log: Logger
}
