import { Failure } from '../../../contract/failure.js'
import { toTimestamp } from '../../../contract/proto.js'
import { activeStatuses } from '../../../contract/statuses.js'
import type { Cluster__Output } from '../../../generated/proto/scaimind/v1/Cluster.js'
import type { ClusterNode__Output } from '../../../generated/proto/scaimind/v1/ClusterNode.js'
import type { DrainForecast__Output } from '../../../generated/proto/scaimind/v1/DrainForecast.js'
import type { DrainNodeRequest__Output } from '../../../generated/proto/scaimind/v1/DrainNodeRequest.js'
import type { Queue__Output } from '../../../generated/proto/scaimind/v1/Queue.js'
import type { Engine } from '../../engines/engine.js'
import { readBlames } from '../attempts/blame.js'
import type { Database } from '../records/database.js'
import type { JobSettings } from '../records/settings.js'
import { seenBy, sentenceOf, toBlockerMessage } from './blockers.js'
import { forecastDrain } from './drain-forecast.js'
import type { Evictions } from './evictions.js'
import { sampledAttempts, withSampledUsage } from './gpu-usage.js'
import { type InventoryNode, readWholeInventory } from './inventory.js'
import type { NodeControl } from './node-control.js'
import { statusOf, toNodeMessage } from './node-message.js'
import type { JobQueue } from './queue.js'

/** Entries of a queue that are told: more than anybody reads, and a message that can be sent. */
const entriesMax = 1000

/** What callers may see of the cluster: all of its size, but of jobs only their own tenant's (all with `*`). */
export function clusterView({
  engine,
  database,
  queue,
  evictions,
  control,
  settings,
  announce,
  clock,
}: {
  engine: Engine
  database: Database
  queue: JobQueue
  evictions: Evictions
  control: NodeControl
  settings: JobSettings
  /** Says that nodes have changed. */
  announce: () => void
  clock: () => Date
}) {
  return {
    async cluster(tenantId: string): Promise<Cluster__Output> {
      const ofTenant = tenantId === '*' ? {} : { tenantId }
      const [nodes, running, queued] = await Promise.all([
        readWholeInventory(engine, database, clock()),
        database.job.count({ where: { ...ofTenant, status: { in: [...activeStatuses] } } }),
        database.job.count({ where: { ...ofTenant, status: 'QUEUED' } }),
      ])
      const statusCount = (status: string) => nodes.filter((node) => statusOf(node) === status).length
      const gpus = nodes.reduce((sum, { node }) => sum + node.gpus.length, 0)
      const taken = sumOverHolders(nodes, ({ gpuIndexes }) => gpuIndexes.length)
      return {
        nodes_total: nodes.length,
        nodes_online: statusCount('ONLINE'),
        nodes_draining: statusCount('DRAINING'),
        nodes_offline: statusCount('OFFLINE'),
        gpus_total: gpus,
        gpus_allocated: taken,
        gpus_free: Math.max(0, gpus - taken),
        cpus_total: nodes.reduce((sum, { node }) => sum + node.cpus, 0),
        cpus_allocated: sumOverHolders(nodes, ({ cpus }) => cpus),
        jobs_running: running,
        jobs_queued: queued,
        engine: engine.name,
        engine_version: engine.version,
        gpu_types: [...new Set(nodes.flatMap(({ node }) => node.gpus.map(({ type }) => type)))].sort(),
      }
    },

    async nodes(tenantId: string): Promise<ClusterNode__Output[]> {
      const now = clock()
      const [inventory, blames] = await Promise.all([readWholeInventory(engine, database, now), readBlames(database, tenantId)])
      // Such an engine knows which GPUs are held, not what they do.
      const nodes = engine.scheduler
        ? await withSampledUsage(inventory, await sampledAttempts(database), { dataDir: settings.dataDir, now })
        : inventory
      return nodes.map((inventory) => toNodeMessage(inventory, tenantId, blames.get(inventory.node.nodeId) ?? []))
    },

    /** Throws NODE_NOT_FOUND. */
    async node(tenantId: string, nodeId: string): Promise<ClusterNode__Output> {
      const found = (await this.nodes(tenantId)).find(({ node_id }) => node_id === nodeId)
      if (!found) throw new Failure('NODE_NOT_FOUND', `The cluster has no node ${JSON.stringify(nodeId.slice(0, 255))}.`)
      return found
    },

    /** No new attempts on the node; what runs there finishes. With `evict`, or once the deadline has passed, what runs is asked to save and goes back into the queue. Throws NODE_NOT_FOUND. */
    async drain(
      tenantId: string,
      { node_id: nodeId, reason, evict, deadline_seconds: deadline }: DrainNodeRequest__Output,
    ): Promise<ClusterNode__Output> {
      await this.node(tenantId, nodeId)
      const now = clock()
      const evictAt = evict ? now : deadline > 0 ? new Date(now.getTime() + deadline * 1000) : null
      await control.drain(nodeId, { reason, evictAt })
      await evictions.evictDue()
      announce()
      return await this.node(tenantId, nodeId)
    },

    /** What draining the node would mean. Throws NODE_NOT_FOUND. */
    async forecastDrain(tenantId: string, nodeId: string): Promise<DrainForecast__Output> {
      const node = await this.node(tenantId, nodeId)
      return { node, ...(await forecastDrain(tenantId, nodeId, { database, settings, now: clock() })) }
    },

    /** The node takes work again. Throws NODE_NOT_FOUND. */
    async enable(tenantId: string, nodeId: string): Promise<ClusterNode__Output> {
      await this.node(tenantId, nodeId)
      await control.enable(nodeId)
      announce()
      return await this.node(tenantId, nodeId)
    },

    /** What waits, the first thousand of it by entry; of other tenants' jobs only that they do. */
    async queue(tenantId: string, only: string): Promise<Queue__Output> {
      const { view } = await queue.view()
      const entries = view
        .map(({ job, decision }, index) => ({ job, decision, position: index + 1 }))
        .filter(({ job }) => !only || job.queue === only)
      const depths = new Map<string, { queue: string; priority: number; jobs: number }>()
      for (const { job } of entries) {
        const key = `${job.queue} ${job.priority}`
        const depth = depths.get(key) ?? { queue: job.queue, priority: job.priority, jobs: 0 }
        depths.set(key, { ...depth, jobs: depth.jobs + 1 })
      }
      return {
        depth: entries.length,
        depths: [...depths.values()],
        entries: entries.slice(0, entriesMax).map(({ job, decision, position }) => {
          const isOwn = tenantId === '*' || job.tenantId === tenantId
          const blockers = decision.blockers.map((blocker) => seenBy(tenantId, blocker))
          return {
            job_id: isOwn ? job.jobId : '',
            name: isOwn ? job.name : '',
            queue: job.queue,
            priority: job.priority,
            position,
            gpu_count: job.needs.gpuCount,
            waiting_for: !isOwn ? '' : decision.placement ? 'Starts now.' : sentenceOf(blockers),
            queued_at: toTimestamp(job.queuedAt),
            estimated_start: isOwn && decision.estimatedStart ? toTimestamp(decision.estimatedStart) : null,
            blockers: isOwn ? blockers.map(toBlockerMessage) : [],
          }
        }),
      }
    },
  }
}

/** What callers may see of the cluster. */
export type ClusterView = ReturnType<typeof clusterView>

function sumOverHolders(nodes: InventoryNode[], count: (holder: InventoryNode['holders'][number]) => number): number {
  return nodes.reduce((sum, { holders }) => sum + holders.reduce((inner, holder) => inner + count(holder), 0), 0)
}
