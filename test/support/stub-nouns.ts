import { once } from 'node:events'
import type { ServerReadableStream, ServerWritableStream, sendUnaryData } from '@grpc/grpc-js'
import { formatCursor, parseCursor } from '../../src/contract/cursor.js'
import { toEvaluation } from '../../src/contract/evaluation.js'
import { newEvaluationId, newId } from '../../src/contract/ids.js'
import { toTimestamp } from '../../src/contract/proto.js'
import type { CachedDataset } from '../../src/generated/proto/scaimind/v1/CachedDataset.js'
import type { ClusterNode } from '../../src/generated/proto/scaimind/v1/ClusterNode.js'
import type { Dataset } from '../../src/generated/proto/scaimind/v1/Dataset.js'
import type { DrainForecast } from '../../src/generated/proto/scaimind/v1/DrainForecast.js'
import type { EvaluationRun } from '../../src/generated/proto/scaimind/v1/EvaluationRun.js'
import type { Job, Job__Output } from '../../src/generated/proto/scaimind/v1/Job.js'
import type { Queue } from '../../src/generated/proto/scaimind/v1/Queue.js'
import type { RegisteredModel } from '../../src/generated/proto/scaimind/v1/RegisteredModel.js'
import type { SourceReport } from '../../src/generated/proto/scaimind/v1/SourceReport.js'
import type { Refusal, StubCoordinator } from './stub-coordinator.js'

/** An upload as the stub saw it. */
export interface SeenUpload {
  description: { name?: string; format?: string } | undefined
  bytes: number
  text: string
  brokenOff: boolean
}

/** Evaluations, nodes and data of a stub coordinator. */
export class StubNouns {
  readonly nodes = new Map<string, ClusterNode>([
    ['n1', node('n1')],
    ['n2', node('n2')],
  ])
  readonly datasets: (Dataset & { dataset_id: string; tenant_id: string })[] = []
  readonly models: (RegisteredModel & { registered_model_id: string; tenant_id: string })[] = []
  readonly cachedDatasets: CachedDataset[] = []
  /** What draining any node would mean. */
  forecast: DrainForecast = {}
  reports: SourceReport[] = []
  readonly uploads: SeenUpload[] = []
  /** While set, nothing of an upload is taken. */
  holdsUploads = false
  private readonly told: { node?: ClusterNode; queue?: Queue }[] = []

  constructor(private readonly stub: StubCoordinator) {
    for (const known of this.nodes.values()) this.told.push({ node: known })
    this.told.push({ queue: { depth: 0, depths: [], entries: [] } })
  }

  /** An evaluation of a job, or of none. */
  addEvaluation(tenantId: string, run: EvaluationRun = {}, more: Partial<Job> = {}): Job & { job_id: string } {
    return this.stub.addJob(tenantId, {
      job_id: newEvaluationId(),
      name: 'an evaluation',
      labels: { type: 'evaluation' },
      available_actions: ['CANCEL'],
      evaluation: run,
      ...more,
    })
  }

  addDataset(tenantId: string, more: Partial<Dataset> = {}): Dataset & { dataset_id: string } {
    const number = this.datasets.length
    const dataset = {
      dataset_id: newId('data'),
      tenant_id: tenantId,
      name: `set ${number}`,
      format: 'jsonl',
      bytes: '12',
      records: '2',
      content_hash: `sha256:${number}`,
      created_at: toTimestamp(new Date()),
      user_id: 'user',
      tokens_estimate: '7',
      sample: '{"text": "one"}',
      ...more,
    }
    this.datasets.unshift(dataset)
    return dataset
  }

  addModel(tenantId: string, more: Partial<RegisteredModel> = {}): RegisteredModel & { registered_model_id: string } {
    const number = this.models.length
    const model = {
      registered_model_id: newId('model'),
      tenant_id: tenantId,
      name: 'tuned',
      content_hash: `sha256:${number}`,
      kind: 'adapter',
      path: `/data/models/${tenantId}/tuned@${number}`,
      files: ['adapter_model.safetensors'],
      bytes: '12',
      base_model: { model_id: 'org/base' },
      base_path: 'org/base',
      current: true,
      registered_at: toTimestamp(new Date()),
      ...more,
    }
    this.models.unshift(model)
    return model
  }

  tellNode(changed: ClusterNode & { node_id: string }): void {
    const now = { ...this.nodes.get(changed.node_id), ...changed }
    this.nodes.set(changed.node_id, now)
    this.told.push({ node: now })
    this.stub.changed()
  }

  tellQueue(queue: Queue): void {
    this.told.push({ queue })
    this.stub.changed()
  }

  private isOvertaken(at: number): boolean {
    const nodeId = this.told[at]?.node?.node_id
    return this.told.slice(at + 1).some((later) => later.node?.node_id === nodeId)
  }

  evaluationMethods() {
    const { stub } = this
    const own = (id: string, tenant: string): Job => {
      const job = stub.jobs.get(id)
      if (job?.tenant_id === tenant && job.evaluation) return job
      throw { code: 'EVALUATION_NOT_FOUND', message: `There is no evaluation ${id}.` } satisfies Refusal
    }
    const answer = (job: Job) => toEvaluation(job as Job__Output)
    return {
      SubmitEvaluation: stub.unary('SubmitEvaluation', ({ job_id, model_uri, checkpoint_id, benchmarks, name }, tenant) => {
        if (job_id) stub.own(job_id, tenant)
        return answer(this.addEvaluation(tenant, { job_id, model_uri, checkpoint_id, benchmarks }, name ? { name } : {}))
      }),
      GetEvaluation: stub.unary('GetEvaluation', ({ evaluation_id }, tenant) => answer(own(evaluation_id, tenant))),
      ListEvaluations: stub.unary('ListEvaluations', ({ job_id }, tenant) => {
        const all = [...stub.jobs.values()].filter((job) => job.tenant_id === tenant && job.evaluation)
        const found = all.filter((job) => !job_id || job.evaluation?.job_id === job_id).reverse()
        return { evaluations: found.map(answer), next_page_token: '', total_count: String(found.length) }
      }),
      CancelEvaluation: stub.unary('CancelEvaluation', ({ evaluation_id, reason }, tenant) => {
        own(evaluation_id, tenant)
        return answer(stub.change(evaluation_id, { status: 'CANCELLED', message: reason, available_actions: ['RETRY'] }))
      }),
    }
  }

  clusterMethods() {
    const { stub } = this
    const change = (id: string, changed: ClusterNode) => {
      if (!this.nodes.has(id)) throw { code: 'NODE_NOT_FOUND', message: `There is no node ${id}.` } satisfies Refusal
      this.tellNode({ ...changed, node_id: id })
      return this.nodes.get(id)
    }
    return {
      ListNodes: stub.unary('ListNodes', () => ({ nodes: [...this.nodes.values()] })),
      DrainNode: stub.unary('DrainNode', ({ node_id, reason }) => change(node_id, { status: 'DRAINING', reason })),
      ForecastDrain: stub.unary('ForecastDrain', ({ node_id }) => {
        const known = this.nodes.get(node_id)
        if (!known) throw { code: 'NODE_NOT_FOUND', message: `There is no node ${node_id}.` } satisfies Refusal
        return { ...this.forecast, node: known }
      }),
      EnableNode: stub.unary('EnableNode', ({ node_id }) => change(node_id, { status: 'ONLINE', reason: '' })),
      StreamClusterEvents: (stream: ServerWritableStream<never, unknown>) => {
        const begun = stub.begin('StreamClusterEvents', stream)
        if (!begun) return
        const { after } = stream.request as { after: string }
        let at = after ? parseCursor(after, 'cluster', begun.tenant).sequence : 0
        void stub.pump('StreamClusterEvents', stream, () => {
          // States, not changes: what was overtaken is not told.
          while (at < this.told.length && this.isOvertaken(at)) at++
          const event = this.told[at]
          if (!event) return undefined
          at++
          return { ...event, cursor: formatCursor({ kind: 'cluster', topic: begun.tenant, attempt: 1, sequence: at }) }
        })
      },
    }
  }

  modelMethods() {
    const { stub } = this
    const own = (id: string, tenant: string) => {
      const found = this.models.find(({ registered_model_id, tenant_id }) => registered_model_id === id && tenant_id === tenant)
      if (found) return found
      throw { code: 'MODEL_NOT_FOUND', message: `There is no registered model ${id}.` } satisfies Refusal
    }
    return {
      GetRegisteredModel: stub.unary('GetRegisteredModel', ({ registered_model_id }, tenant) => own(registered_model_id, tenant)),
      ListRegisteredModels: stub.unary('ListRegisteredModels', ({ name, job_id, current_only, registered_model_ids: ids }, tenant) => {
        const models = this.models.filter(
          (model) =>
            model.tenant_id === tenant &&
            (!name || model.name === name) &&
            (!job_id || model.job_id === job_id) &&
            (!current_only || model.current) &&
            (ids.length === 0 || ids.includes(model.registered_model_id)),
        )
        return { models, next_page_token: '', total_count: String(models.length) }
      }),
      DeleteRegisteredModel: stub.unary('DeleteRegisteredModel', ({ registered_model_id }, tenant) => {
        const model = own(registered_model_id, tenant)
        this.models.splice(this.models.indexOf(model), 1)
        return model
      }),
    }
  }

  dataMethods() {
    const { stub } = this
    const own = (id: string, tenant: string) => {
      const found = this.datasets.find(({ dataset_id, tenant_id }) => dataset_id === id && tenant_id === tenant)
      if (found) return found
      throw { code: 'DATASET_NOT_FOUND', message: `There is no data set ${id}.` } satisfies Refusal
    }
    return {
      UploadDataset: (call: ServerReadableStream<UploadPart, unknown>, callback: sendUnaryData<unknown>) => {
        void this.takeUpload(call, callback)
      },
      GetDataset: stub.unary('GetDataset', ({ dataset_id }, tenant) => own(dataset_id, tenant)),
      ListDatasets: stub.unary('ListDatasets', ({ page_size, page_token, content_hash }, tenant) => {
        const all = this.datasets.filter((set) => set.tenant_id === tenant && (!content_hash || set.content_hash === content_hash))
        // A token names the last data set told, as one that is stable under inserts does.
        const start = page_token ? all.findIndex(({ dataset_id }) => dataset_id === page_token) + 1 : 0
        const datasets = all.slice(start, start + (page_size || 20))
        const hasMore = start + datasets.length < all.length
        return { datasets, next_page_token: hasMore ? datasets.at(-1)?.dataset_id : '', total_count: String(all.length) }
      }),
      ValidateSources: stub.unary('ValidateSources', () => ({ sources: this.reports })),
      ListDataCache: stub.unary('ListDataCache', () => ({ datasets: this.cachedDatasets })),
      PrefetchDataset: stub.unary('PrefetchDataset', ({ dataset_id, nodes, pin }, tenant) => {
        const { content_hash, bytes } = own(dataset_id, tenant)
        const unknown = (nodes as string[]).find((id) => !this.nodes.has(id))
        if (unknown) throw { code: 'NODE_NOT_FOUND', message: `There is no node ${unknown}.` } satisfies Refusal
        return { dataset_id, path: '/cache/x', content_hash, bytes, nodes: nodes.length > 0 ? nodes : [...this.nodes.keys()], pinned: pin }
      }),
      EvictDataset: stub.unary('EvictDataset', ({ dataset_id }, tenant) => {
        own(dataset_id, tenant)
        return { bytes_freed: '9007199254740993' }
      }),
    }
  }

  /** Refuses a line that holds BAD as soon as it has come. */
  private async takeUpload(call: ServerReadableStream<UploadPart, unknown>, callback: sendUnaryData<unknown>): Promise<void> {
    const { stub } = this
    const tenant = stub.note('UploadDataset', call)
    const refusal = stub.refusals.get('UploadDataset')
    if (refusal) return callback(stub.refuse(refusal))
    const seen: SeenUpload = { description: undefined, bytes: 0, text: '', brokenOff: false }
    this.uploads.push(seen)
    call.on('cancelled', () => {
      seen.brokenOff = true
      stub.changed()
    })
    stub.changed()
    try {
      for await (const { description, chunk } of call as AsyncIterable<UploadPart>) {
        if (description) seen.description = description
        if (chunk) {
          seen.bytes += chunk.length
          if (seen.bytes < 100_000) seen.text += chunk.toString()
        }
        stub.changed()
        while (this.holdsUploads) await once(stub.bell, 'change')
        const line = seen.text.split('\n').findIndex((text) => text.includes('BAD')) + 1
        if (line > 0) {
          const fields = [{ path: `content[${line}]`, message: `Line ${line}: this is not a usable record.` }]
          return callback(stub.refuse({ code: 'INVALID_ARGUMENT', message: `Line ${line}: this is not a usable record.`, fields }))
        }
      }
    } catch {
      // The caller left: there is nobody to answer.
      return
    }
    // A call that was cancelled ends like one that is whole; that it was cancelled is told after.
    await new Promise((told) => setTimeout(told, 20))
    if (seen.brokenOff) return
    callback(null, this.addDataset(tenant, { name: seen.description?.name ?? '', bytes: String(seen.bytes) }))
  }
}

interface UploadPart {
  description?: { name?: string; format?: string }
  chunk?: Buffer
}

const node = (id: string): ClusterNode => ({ node_id: id, hostname: id, status: 'ONLINE', gpus: [], cpus: 4, memory_bytes: '8589934592' })
