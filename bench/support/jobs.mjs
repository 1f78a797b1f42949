import { formatCursor } from '../../dist/contract/cursor.js'
import { connect, parseDatabaseUrl } from '../../dist/database/connect.js'

export const tenantName = (index) => `bench-${String(index).padStart(2, '0')}`

const statuses = ['COMPLETED', 'COMPLETED', 'COMPLETED', 'COMPLETED', 'FAILED', 'CANCELLED', 'TRAINING', 'QUEUED', 'PAUSED']
const firstSecond = 1_700_000_000

/** A finished job as the coordinator tells it; what differs between jobs is marked. */
function template() {
  const time = (name) => ({ seconds: `@${name}@`, nanos: 0 })
  return {
    job_id: '@id@',
    tenant_id: '@tenant@',
    revision: '7',
    user_id: '@user@',
    status: '@status@',
    message: 'The adapter is saved.',
    name: '@name@',
    labels: { team: 'nlp', purpose: 'nightly' },
    training_config: {
      training_type: 'LORA',
      base_model: {
        model_id: 'scaimind/byte-tiny',
        revision: '',
        source: '',
        tokenizer_id: '',
        dtype: '',
        trust_remote_code: false,
        model_kwargs: {},
      },
      framework: { type: 'HF_TRAINER', config: {}, distributed: null, custom_script_path: '' },
      hyperparameters: {
        learning_rate: '0.003',
        max_steps: '2000',
        lora_r: '8',
        lora_alpha: '16',
        warmup_ratio: '0.03',
        weight_decay: '0.01',
      },
      environment: {},
      resume_from_checkpoint: '',
      max_retries: 2,
      priority: 5,
    },
    data_config: {
      sources: [
        {
          path: '/data/tenants/shared/files/corpus/part-0001.jsonl',
          type: '',
          split: 'train',
          format: 'jsonl',
          columns: [],
          filters: {},
          sampling: {},
        },
        {
          path: '/data/tenants/shared/files/corpus/part-0002.jsonl',
          type: '',
          split: 'train',
          format: 'jsonl',
          columns: [],
          filters: {},
          sampling: {},
        },
      ],
      preprocess: null,
      max_seq_length: 2048,
      batch_size: 8,
      gradient_accumulation_steps: 4,
      num_workers: 2,
      pin_memory: true,
      validation_split: 0.1,
      seed: '42',
    },
    resource_config: {
      gpu_count: 2,
      gpu_type: 'a100',
      num_nodes: 1,
      min_gpu_memory_gb: 40,
      cpus_per_node: 8,
      memory_gb_per_node: 64,
      node_selector: {},
    },
    output_config: null,
    scheduling_config: null,
    progress: { step: '2000', total_steps: '2000', epoch: 3, total_epochs: 3, eta_seconds: 0, tokens_seen: '131072000' },
    queue_position: 0,
    created_at: time('created'),
    started_at: time('started'),
    finished_at: time('finished'),
    updated_at: time('finished'),
    attempts: [
      {
        number: 1,
        cause: 'FIRST',
        nodes: ['gpu01'],
        started_at: time('started'),
        finished_at: time('finished'),
        exit_code: 0,
        signal: '',
        from_checkpoint: '',
      },
    ],
    available_actions: ['UPDATE', 'ARCHIVE'],
    failure: null,
    output: {
      kind: 'adapter',
      path: '/data/tenants/@tenant@/jobs/@id@/output',
      files: ['adapter_model.safetensors', 'adapter_config.json'],
      bytes: '83886080',
    },
    final_evaluation: null,
    wanted: 'RUN',
    content_hash: '@hash@',
    unreachable: false,
    gpu_seconds: 7200,
    nodes: ['gpu01'],
    blockers: [],
    estimated_start: null,
    archived_at: null,
    data_hashes: [],
    code: null,
    evaluation: null,
  }
}

/** Fills the API's database with jobs, made by the server itself from one document, and says to the API that it has followed all of them. */
export async function fillJobs(databaseUrl, { jobs, tenants }) {
  const connection = await connect(parseDatabaseUrl(databaseUrl, 'the benchmark'), 'the benchmark')
  const id = "CONCAT('job_', LPAD(CONV(seq * 2654435761 % 4294967296, 10, 32), 8, '0'), LPAD(seq, 18, '0'))"
  const tenant = `CONCAT('bench-', LPAD(seq % ${tenants}, 2, '0'))`
  const hash = "CONCAT('sha256:', SHA2(seq % 70000, 256))"
  const status = `ELT(1 + seq % ${statuses.length}, ${statuses.map((word) => `'${word}'`).join(', ')})`
  const at = (seconds) => `FROM_UNIXTIME(${seconds})`
  const [created, started, finished] = [
    `(${firstSecond} + seq * 30)`,
    `(${firstSecond} + seq * 30 + 60)`,
    `(${firstSecond} + seq * 30 + 3660)`,
  ]
  const marks = {
    id,
    tenant,
    user: "CONCAT('user-', seq % 300)",
    status,
    name: "CONCAT('fine-tune ', seq)",
    created,
    started,
    finished,
    hash,
  }
  const document = Object.entries(marks).reduce((text, [mark, value]) => `REPLACE(${text}, '@${mark}@', ${value})`, '@template')
  try {
    await connection.query('SET unique_checks = 0, foreign_key_checks = 0')
    await connection.query('SET @template = ?', [JSON.stringify(template())])
    const atOnce = 20_000
    for (let from = 1; from <= jobs; from += atOnce) {
      const rows = `seq_${from}_to_${Math.min(jobs, from + atOnce - 1)}`
      await connection.query(`INSERT INTO job (job_id, tenant_id, revision, user_id, name, status, training_type, framework, base_model, queue, priority, message,
          gpu_seconds, content_hash, is_evaluation, evaluates_job_id, is_archived, has_output, created_at, started_at, finished_at, updated_at, synced_at, document)
        SELECT ${id}, ${tenant}, 7, ${marks.user}, ${marks.name}, ${status}, 'LORA', 'HF_TRAINER', 'scaimind/byte-tiny', '', 5, 'The adapter is saved.',
          7200, ${hash}, FALSE, '', FALSE, TRUE, ${at(created)}, ${at(started)}, ${at(finished)}, ${at(finished)}, NOW(3), ${document} FROM ${rows}`)
    }
    const owner = 'job_id, tenant_id, created_at'
    await connection.query(`INSERT INTO job_label (\`key\`, value, ${owner}) SELECT 'team', 'nlp', ${owner} FROM job`)
    await connection.query(`INSERT INTO job_node (node_id, ${owner}) SELECT 'gpu01', ${owner} FROM job`)
    const cursor = formatCursor({ kind: 'events', topic: '*', attempt: 0, sequence: 0 })
    await connection.query('INSERT INTO follow_state (id, `cursor`, heard_at) VALUES (1, ?, NOW(3))', [cursor])
    await connection.query('ANALYZE TABLE job, job_label, job_node')
  } finally {
    await connection.end()
  }
}

/** A key of each tenant. */
export async function makeKeys(databaseUrl, tenants) {
  const { apiKeyStore } = await import('../../dist/api/auth/api-keys.js')
  const { openDatabase } = await import('../../dist/api/cache/database.js')
  const database = openDatabase(databaseUrl)
  const keys = apiKeyStore(database)
  try {
    const made = []
    for (let tenant = 0; tenant < tenants; tenant++) {
      made.push((await keys.create({ tenantId: tenantName(tenant), userId: 'bench', name: 'bench', grants: ['tenant_admin'] })).key)
    }
    return made
  } finally {
    keys.close()
    await database.$disconnect()
  }
}
