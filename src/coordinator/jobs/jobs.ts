import { EventEmitter } from 'node:events'
import { toTimestamp } from '../../contract/proto.js'
import type { Job__Output } from '../../generated/proto/scaimind/v1/Job.js'
import { fileHashes } from '../data/hash.js'
import { newHub } from '../data/hub.js'
import type { Engine } from '../engines/engine.js'
import type { MetricHistory } from '../journal/history.js'
import { attemptKeeper } from './attempts/attempts.js'
import { recover } from './attempts/recovery.js'
import { jobContent } from './content/content.js'
import { keepContent } from './content/keep-content.js'
import { publishCheckpoints } from './models/publish-checkpoints.js'
import type { ModelRegistry } from './models/registry.js'
import { seenBy, toBlockerMessage } from './placement/blockers.js'
import { type ClusterView, clusterView } from './placement/cluster.js'
import { clusterEvents } from './placement/cluster-events.js'
import { jobEvictions } from './placement/evictions.js'
import { takingIn } from './placement/intake.js'
import { nodeAgents } from './placement/node-agents.js'
import { nodeControl } from './placement/node-control.js'
import type { PreemptionRules } from './placement/preempt.js'
import { jobQueue } from './placement/queue.js'
import type { TenantLimits } from './placement/quota.js'
import { schedulerQueue } from './placement/scheduler-queue.js'
import { tenantUsage } from './placement/usage.js'
import { jobBatches } from './records/batch.js'
import { jobChanges } from './records/changes.js'
import type { Database } from './records/database.js'
import { jobEvents } from './records/events.js'
import { idempotency } from './records/idempotency.js'
import type { Log } from './records/log.js'
import { type JobRecord, toJobMessage } from './records/record.js'
import type { JobSettings } from './records/settings.js'
import { jobStore } from './records/store.js'
import { jobControl } from './requests/control.js'
import { jobEvaluations } from './requests/evaluations.js'
import { jobJournals } from './requests/journals.js'
import { jobSubmission } from './requests/submit.js'
import { overtakenUpdates } from './retention/overtaken-updates.js'
import { jobRetention } from './retention/retention.js'

/** What the jobs are built on. */
export interface JobsOptions {
  database: Database
  engine: Engine
  models: ModelRegistry
  history: MetricHistory
  settings: JobSettings
  limitsOf: (tenantId: string) => TenantLimits
  preemption: PreemptionRules
  /** Milliseconds in which what a tenant used counts half as much. */
  halfLifeMs: number
  /** How long updates that a later event has overtaken stay events. */
  updatesKeptMs: number
  log: Log
  clock: () => Date
}

const forgetIntervalMs = 3600 * 1000

/** Everything about jobs, each part built once. */
export function buildJobs(options: JobsOptions) {
  const { database, engine, models, history, settings, limitsOf, preemption, halfLifeMs, updatesKeptMs, log, clock } = options
  const changes = jobChanges()
  const store = jobStore({ database, changes, clock })
  const attempts = attemptKeeper({ store, database, changes, engine, models, settings, log, clock })
  const drains = nodeControl({ engine, database, clock })
  const evictions = jobEvictions({ database, store, control: drains, clock })
  const usage = tenantUsage({ database, changes, halfLifeMs })
  const parts = { store, database, changes, engine, attempts, evictions, limitsOf, usage, preemption, settings, log, clock }
  const { scheduler } = engine
  const queue = scheduler ? schedulerQueue({ ...parts, scheduler }) : jobQueue(parts)
  const nodesChanged = new EventEmitter().setMaxListeners(0)
  const answers = idempotency({ database, clock })
  const hub = newHub({ endpoint: settings.hubEndpoint, clock })
  const content = jobContent({ hashes: fileHashes({ database, clock }), hub, settings })
  const retention = jobRetention({ database, store, dataDir: settings.dataDir, log, clock })
  const overtaken = overtakenUpdates({ database, keptMs: updatesKeptMs, log, clock })
  const takeIn = takingIn({ database, limitsOf, readUsage: usage.read, clock })
  const control = jobControl({ store, database, idempotency: answers, takeIn, clock })
  const announce = () => nodesChanged.emit('nodes')
  const cluster: ClusterView = clusterView({ engine, database, queue, evictions, control: drains, settings, announce, clock })
  return {
    database,
    store,
    engine,
    cluster,
    agents: nodeAgents({ database, announce, clock }),
    clusterEvents: clusterEvents({
      cluster,
      changes,
      onNodes(listener) {
        nodesChanged.on('nodes', listener)
        return () => nodesChanged.off('nodes', listener)
      },
      clock,
    }),
    submission: jobSubmission({ store, limitsOf, queue, idempotency: answers, content, hub, takeIn, clock, engine, database, settings }),
    control,
    evaluations: jobEvaluations({ database, store, idempotency: answers, control, takeIn, engine, hub, limitsOf, settings, clock }),
    journals: jobJournals({ store, database, changes, history, dataDir: settings.dataDir }),
    batches: jobBatches({ database, dataDir: settings.dataDir }),
    retention,
    events: jobEvents({ database, store, changes }),

    /** Jobs as `scaimind.v1` has them; those that wait with their place in the queue, why they wait, and when they may start. */
    async toMessages(jobs: JobRecord[]): Promise<Job__Output[]> {
      if (!jobs.some(({ status }) => status === 'QUEUED')) return jobs.map((job) => toJobMessage(job, clock()))
      const { view, indexes } = await queue.view()
      return jobs.map((job) => {
        const message = toJobMessage(job, clock())
        const place = indexes.get(job.jobId) ?? -1
        const decision = view[place]?.decision
        if (job.status !== 'QUEUED' || !decision) return message
        return {
          ...message,
          queue_position: place + 1,
          blockers: decision.blockers.map((blocker) => toBlockerMessage(seenBy(job.tenantId, blocker))),
          estimated_start: decision.estimatedStart && toTimestamp(decision.estimatedStart),
        }
      })
    },

    /** Takes up what an earlier life left running, then begins to give places. */
    async start(): Promise<{ close(): Promise<void> }> {
      const found = await recover({ database, store, attempts }).catch(async (error: unknown) => {
        await attempts.close()
        throw error
      })
      if (found > 0) log.info({ attempts: found }, 'took up attempts of an earlier life')
      const keeping = keepContent({ store, changes, content, settings, log })
      const publishing = publishCheckpoints({ database, store, changes, models, settings, log })
      const giving = queue.start()
      const deleting = retention
        .finishBegun()
        .catch((error: unknown) => log.warn({ err: error }, 'a deletion of an earlier life could not be finished; apply its plan again'))
      const settling = models
        .settle()
        .catch((error: unknown) => log.warn({ err: error }, 'registered models of an earlier life could not all be put right'))
      const forget = () =>
        Promise.all([answers.forgetOld(), retention.forgetOld(), usage.forgetOld(clock())]).catch((error: unknown) =>
          log.warn({ err: error }, 'old idempotency keys, plans and usage could not be forgotten'),
        )
      const forgetting = setInterval(forget, forgetIntervalMs)
      forgetting.unref()
      void forget()
      const thinning = overtaken.start()
      return {
        async close() {
          clearInterval(forgetting)
          keeping.close()
          await publishing.close()
          await giving.close()
          await thinning.close()
          await deleting
          await settling
          await attempts.close()
        },
      }
    },
  }
}

/** The jobs. */
export type Jobs = ReturnType<typeof buildJobs>
