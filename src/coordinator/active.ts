import { setMaxListeners } from 'node:events'
import { join } from 'node:path'
import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js'
import type { CoordinatorConfig } from '../config.js'
import { scaimindV1 } from '../contract/proto.js'
import { datasets } from './data/datasets.js'
import { hfSetup } from './data/hf-setup.js'
import { nodeCache } from './data/node-cache.js'
import { uploads } from './data/upload.js'
import { chooseEngine } from './engine-choice.js'
import { buildJobs } from './jobs/jobs.js'
import { modelRegistry } from './jobs/models/registry.js'
import type { TenantLimits } from './jobs/placement/quota.js'
import type { Database } from './jobs/records/database.js'
import { metricHistory } from './journal/history.js'
import { clusterMethods } from './services/cluster.js'
import { dataMethods } from './services/data.js'
import { evaluationMethods } from './services/evaluations.js'
import { type Entrance, implement, type Methods } from './services/handlers.js'
import { jobMethods } from './services/jobs.js'
import { modelMethods } from './services/models.js'

const { CoordinatorService, ClusterService, EvaluationService, DataService, ModelService } = scaimindV1

/** The services of `scaimind.v1`, each with what answers its calls. */
export type Services = { definition: ServiceDefinition; implementation: UntypedServiceImplementation }[]

/** What the active coordinator does, and a standby does not. */
export interface ActiveWork {
  services: Services
  /** Ends it in order; running trainers go on. */
  close(): Promise<void>
}

/** Takes up the attempts that an earlier life, or another coordinator, left running, and begins to give places. */
export async function beginWork(
  config: CoordinatorConfig,
  { database, entrance, limitsOf }: { database: Database; entrance: Entrance; limitsOf: (tenantId: string) => TenantLimits },
): Promise<ActiveWork> {
  const { log } = entrance
  const engine = chooseEngine(config)
  const clock = () => new Date()
  const received = uploads({ folder: join(config.SCAIMIND_DATA_DIR, 'uploads'), bytesMax: config.SCAIMIND_MAX_DATASET_BYTES })
  const stored = datasets({ database, uploads: received, dataDir: config.SCAIMIND_DATA_DIR, clock })
  const cache = nodeCache({
    database,
    datasets: stored,
    nodes: async () => (await engine.nodes()).map(({ nodeId }) => nodeId),
    dataDir: config.SCAIMIND_DATA_DIR,
    bytesMax: config.SCAIMIND_DATA_CACHE_BYTES,
    clock,
  })
  const setup = config.SCAIMIND_HF_SETUP === 'auto' ? hfSetup({ cacheHome: config.XDG_CACHE_HOME, log, clock }) : null
  let isToldUnchecked = false
  const onUnchecked = (reason: string) => {
    // Each submission would say it again.
    if (!isToldUnchecked)
      log.warn({ reason }, 'what jobs of HuggingFace models have wrong in their data is found by the jobs themselves only')
    isToldUnchecked = true
  }
  const trainer = {
    python: config.SCAIMIND_PYTHON,
    programs: config.SCAIMIND_TRAINERS,
    hf: {
      python: config.SCAIMIND_HF_PYTHON ?? null,
      wrapper: config.SCAIMIND_HF_WRAPPER,
      modules: config.SCAIMIND_HF_MODULES,
      megatronPath: config.SCAIMIND_MEGATRON_PATH ?? null,
      cacheHome: config.XDG_CACHE_HOME,
      setup,
      onUnchecked,
    },
  }
  const models = modelRegistry({ database, dataDir: config.SCAIMIND_DATA_DIR, log, clock })
  const jobs = buildJobs({
    database,
    engine,
    models,
    history: metricHistory(),
    settings: {
      dataDir: config.SCAIMIND_DATA_DIR,
      dataRoots: config.SCAIMIND_DATA_ROOTS,
      allowCustomCode: config.SCAIMIND_ALLOW_CUSTOM_CODE,
      allowTrustRemoteCode: config.SCAIMIND_ALLOW_TRUST_REMOTE_CODE,
      stopGraceSeconds: config.SCAIMIND_STOP_GRACE_SECONDS,
      silentTrainerMs: config.SCAIMIND_SILENT_TRAINER_S * 1000,
      cordonAfter: config.SCAIMIND_CORDON_AFTER,
      gpuSampleSeconds: config.SCAIMIND_GPU_SAMPLE_SECONDS,
      hubEndpoint: config.SCAIMIND_HF_ENDPOINT,
      trainer,
      datasetFile: cache.fileFor,
      modelFolder: models.folderOf,
    },
    limitsOf,
    preemption: { minRuntimeMs: config.SCAIMIND_PREEMPTION_MIN_RUNTIME_SECONDS * 1000, evictionsMax: 2 },
    halfLifeMs: config.SCAIMIND_FAIR_SHARE_HALF_LIFE_HOURS * 3600 * 1000,
    updatesKeptMs: config.SCAIMIND_PROGRESS_RETENTION_HOURS * 3600 * 1000,
    log,
    clock,
  })
  const services = servicesOf(entrance, {
    jobs: jobMethods(jobs),
    cluster: clusterMethods(jobs),
    evaluations: evaluationMethods(jobs.evaluations),
    data: dataMethods({ datasets: stored, cache, dataRoots: config.SCAIMIND_DATA_ROOTS, trainer }),
    models: modelMethods({ models, database, dataDir: config.SCAIMIND_DATA_DIR }),
  })
  try {
    await Promise.all([received.sweep(), models.sweep()])
    const running = await jobs.start()
    return {
      services,
      async close() {
        setup?.close()
        await running.close()
        await engine.close()
      },
    }
  } catch (error) {
    await engine.close()
    throw error
  }
}

/** The services of a standby: whoever may call is refused by `entrance`. */
export const standbyServices = (entrance: Entrance): Services =>
  servicesOf(entrance, { jobs: {}, cluster: {}, evaluations: {}, data: {}, models: {} })

function servicesOf(entrance: Entrance, methods: Record<'jobs' | 'cluster' | 'evaluations' | 'data' | 'models', Methods>): Services {
  // A listener a stream is no leak.
  setMaxListeners(0, entrance.stopping)
  return [
    { definition: CoordinatorService.service, methods: methods.jobs },
    { definition: ClusterService.service, methods: methods.cluster },
    { definition: EvaluationService.service, methods: methods.evaluations },
    { definition: DataService.service, methods: methods.data },
    { definition: ModelService.service, methods: methods.models },
  ].map(({ definition, methods }) => ({ definition, implementation: implement(definition, methods, entrance) }))
}
