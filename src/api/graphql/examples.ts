import type { GraphQLSchema } from 'graphql'

const submission = `name: "my-first-lora"
    trainingConfig: {
      trainingType: LORA
      baseModel: { modelId: "scaimind/byte-tiny" }
      hyperparameters: [{ key: "max_steps", value: "100" }]
    }
    dataConfig: { sources: [{ path: "train.jsonl" }], validationSplit: 0.1 }
    resourceConfig: { gpuCount: 0 }`

const refusals = '... on Error { code message }'

/** An operation for each root field, to begin from. They stand in the fields' descriptions, where GraphiQL shows them. */
export const examples: Readonly<Record<string, string>> = {
  'Query.viewer': '{ viewer { tenantId userId roles permissions } }',
  'Query.node': '{ node(id: "Sm9iOmpvYl8wMWs…") { id ... on Job { name status } } }',
  'Query.nodes': '{ nodes(ids: ["Sm9iOmpvYl8wMWs…"]) { id __typename } }',
  'Query.job': `{
  job(jobId: "job_01k…") {
    name status message progress { step totalSteps etaSeconds }
    blockers { kind need have until }
    latestMetrics { name value }
    failure { class message hint evidence }
  }
}`,
  'Query.jobs': `{
  jobs(filter: { status: [TRAINING, QUEUED], labels: [{ key: "team", value: "search" }] }, orderBy: { field: PRIORITY }, first: 20) {
    nodes { jobId name status priority: trainingConfig { priority } createdAt }
    pageInfo { hasNextPage endCursor }
  }
}`,
  'Query.compareJobs': `{
  compareJobs(jobIds: ["job_01k…a", "job_01k…b"], metrics: ["loss"], maxPoints: 200) {
    configs { path values }
    dataHashes { path values }
    code { path values }
    metrics { name steps values }
  }
}`,
  'Query.planJob': `{
  planJob(input: {
    ${submission}
  }) {
    ... on PlanJobSuccess { plan { acceptable totalSteps startsNow estimatedStart sources { path records problems { line message } } } }
    ... on InvalidInput { fields { path message } }
    ${refusals}
  }
}`,
  'Query.retentionPlan': `{
  retentionPlan(policy: { scope: CHECKPOINTS, olderThanDays: 30 }) {
    planId bytes hasMore items { jobId name bytes }
  }
}`,
  'Query.evaluation': `{
  evaluation(evaluationId: "eval_01k…") { status results { name scores { name value standardError } numSamples } }
}`,
  'Query.evaluations': `{
  evaluations(filter: { jobId: "job_01k…" }, first: 10) { nodes { evaluationId status results { name scoresJson } } }
}`,
  'Query.compareEvaluations': `{
  compareEvaluations(evaluationIds: ["eval_01k…a", "eval_01k…b"]) { benchmarks { name dataset scores { name better bestEvaluationId values { evaluationId value standardError } } } }
}`,
  'Query.modelArtefact': '{ modelArtefact(id: "job_01k…") { kind path bytes contentHash job { name } } }',
  'Query.modelArtefacts': '{ modelArtefacts(first: 10) { nodes { artefactId kind bytes createdAt job { name } } } }',
  'Query.registeredModel':
    '{ registeredModel(registeredModelId: "model_01k…") { name path isCurrent serveCommands { server command note } } }',
  'Query.registeredModels':
    '{ registeredModels(filter: { name: "devils-lora" }, first: 10) { totalCount nodes { registeredModelId contentHash isCurrent job { name } } } }',
  'Query.cluster': '{ cluster { nodesOnline gpusTotal gpusFree jobsRunning jobsQueued engine stale } }',
  'Query.clusterNode': '{ clusterNode(nodeId: "gpu01") { status cpus cpusAllocated gpus { type utilization allocated job { name } } } }',
  'Query.clusterNodes':
    '{ clusterNodes(first: 50) { totalCount nodes { nodeId status reason jobIds cordoned evidence { jobId time message } } } }',
  'Query.queue': '{ queue { depth entries { position job { name } waitingFor blockers { kind of need have } estimatedStart } } }',
  'Query.dataset': '{ dataset(datasetId: "ds_01k…") { name records bytes contentHash } }',
  'Query.datasets': '{ datasets(first: 20) { nodes { datasetId name records createdAt } pageInfo { endCursor } } }',
  'Query.dataCache': '{ dataCache(first: 20) { nodes { datasetId bytes nodeIds pinned lastUsed } } }',
  'Query.validateData': `{
  validateData(sources: [{ path: "train.jsonl" }]) { path readable records tokensEstimate sample problems { line message } }
}`,
  'Query.apiKeys': '{ apiKeys(first: 20) { nodes { keyId name prefix permissions expiresAt revokedAt } } }',

  'Mutation.submitJob': `mutation {
  submitJob(idempotencyKey: "nightly-2026-11-20", input: {
    ${submission}
  }) {
    ... on SubmitJobSuccess { job { jobId status } estimatedWaitSeconds }
    ... on InvalidInput { fields { path message } }
    ... on QuotaExceeded { limit }
    ${refusals}
  }
}`,
  'Mutation.cancelJob': `mutation {
  cancelJob(jobId: "job_01k…", reason: "wrong data", saveCheckpoint: true) {
    ... on CancelJobSuccess { job { status } }
    ... on JobStateConflict { state allowedFrom }
    ${refusals}
  }
}`,
  'Mutation.pauseJob': `mutation { pauseJob(jobId: "job_01k…") { ... on PauseJobSuccess { job { status } } ${refusals} } }`,
  'Mutation.resumeJob': `mutation { resumeJob(jobId: "job_01k…") { ... on ResumeJobSuccess { job { status queuePosition } } ${refusals} } }`,
  'Mutation.retryJob': `mutation { retryJob(jobId: "job_01k…") { ... on RetryJobSuccess { job { status attempts { number cause } } } ${refusals} } }`,
  'Mutation.updateJob': `mutation {
  updateJob(jobId: "job_01k…", priority: 8, labels: [{ key: "team", value: "search" }]) { ... on UpdateJobSuccess { job { labelsJson } } ${refusals} }
}`,
  'Mutation.archiveJob': `mutation { archiveJob(jobId: "job_01k…") { ... on ArchiveJobSuccess { job { archivedAt } } ${refusals} } }`,
  'Mutation.deleteRegisteredModel': `mutation {
  deleteRegisteredModel(registeredModelId: "model_01k…") { ... on DeleteRegisteredModelSuccess { registeredModelId } ${refusals} }
}`,
  'Mutation.cancelJobs': `mutation {
  cancelJobs(filter: { status: [QUEUED], labels: [{ key: "sweep", value: "7" }] }, reason: "sweep is over") {
    ... on CancelJobsSuccess { matched hasMore results { jobId job { status } error { ... on Error { code message } } } }
    ${refusals}
  }
}`,
  'Mutation.updateJobs': `mutation {
  updateJobs(filter: { nameContains: "nightly" }, priority: 3, addLabels: [{ key: "tier", value: "batch" }]) {
    ... on UpdateJobsSuccess { matched results { jobId error { ... on Error { code } } } }
    ${refusals}
  }
}`,
  'Mutation.applyRetention': `mutation { applyRetention(planId: "plan_01k…") { ... on ApplyRetentionSuccess { bytes items { jobId kept } } ${refusals} } }`,
  'Mutation.submitEvaluation': `mutation {
  submitEvaluation(input: { jobId: "job_01k…", benchmarks: [{ name: "perplexity", dataset: "held-out.jsonl" }] }) {
    ... on SubmitEvaluationSuccess { evaluation { evaluationId status } }
    ... on InvalidInput { fields { path message } }
    ${refusals}
  }
}`,
  'Mutation.cancelEvaluation': `mutation {
  cancelEvaluation(evaluationId: "eval_01k…") { ... on CancelEvaluationSuccess { evaluation { status } } ${refusals} }
}`,
  'Mutation.drainNode': `mutation {
  drainNode(nodeId: "gpu01", reason: "new fans", deadlineSeconds: 600) { ... on DrainNodeSuccess { node { status reason } } ${refusals} }
}`,
  'Mutation.enableNode': `mutation { enableNode(nodeId: "gpu01") { ... on EnableNodeSuccess { node { status } } ${refusals} } }`,
  'Mutation.uploadDataset': `# A multipart request: curl $URL/graphql -H "Authorization: Bearer $KEY" \\
#   -F operations='{"query": "…", "variables": {"file": null}}' -F map='{"0": ["variables.file"]}' -F 0=@train.jsonl
mutation ($file: Upload!) {
  uploadDataset(file: $file, name: "train.jsonl") {
    ... on UploadDatasetSuccess { dataset { datasetId records contentHash } }
    ... on InvalidInput { fields { path message } }
    ${refusals}
  }
}`,
  'Mutation.prefetchDataset': `mutation {
  prefetchDataset(datasetId: "ds_01k…", pin: true) { ... on PrefetchDatasetSuccess { cachedDataset { nodeIds pinned } } ${refusals} }
}`,
  'Mutation.evictDataset': `mutation { evictDataset(datasetId: "ds_01k…") { ... on EvictDatasetSuccess { bytesFreed } ${refusals} } }`,
  'Mutation.createApiKey': `mutation {
  createApiKey(input: { name: "ci", grants: ["scaimind:view", "scaimind:manage"] }) { ... on CreateApiKeySuccess { key apiKey { keyId } } ${refusals} }
}`,
  'Mutation.revokeApiKey': `mutation { revokeApiKey(keyId: "key_01k…") { ... on RevokeApiKeySuccess { apiKey { revokedAt } } ${refusals} } }`,

  'Subscription.jobUpdated':
    'subscription { jobUpdated(jobId: "job_01k…") { cursor job { status message progress { step etaSeconds } } } }',
  'Subscription.jobsUpdated':
    'subscription { jobsUpdated(filter: { status: [FAILED] }) { cursor event { time toStatus } job { jobId name failure { class hint } } } }',
  'Subscription.jobMetrics': `subscription {
  jobMetrics(jobId: "job_01k…", names: ["loss"], maxPerSecond: 5) {
    ... on MetricBatch { cursor records { step attempt values { name value } } }
    ... on StreamGap { cursor from to reason }
    ... on StreamEnd { status }
  }
}`,
  'Subscription.jobLogs': `subscription {
  jobLogs(jobId: "job_01k…", level: WARN, tail: 100) {
    ... on LogBatch { cursor records { time rank level text } }
    ... on StreamGap { cursor reason }
    ... on StreamEnd { status }
  }
}`,
  'Subscription.evaluationUpdated':
    'subscription { evaluationUpdated(evaluationId: "eval_01k…") { status progress { step totalSteps } results { name scoresJson } } }',
  'Subscription.clusterNodesUpdated': 'subscription { clusterNodesUpdated { nodeId status reason cpusAllocated jobIds } }',
  'Subscription.queueUpdated': 'subscription { queueUpdated { depth entries { jobId position blockers { kind need have } } } }',
}

/** Puts each root field's example into its description. */
export function withExamples(schema: GraphQLSchema): GraphQLSchema {
  for (const type of [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()]) {
    for (const field of Object.values(type?.getFields() ?? {})) {
      const example = examples[`${type?.name}.${field.name}`]
      if (example) field.description = `${field.description}\n\n\`\`\`graphql\n${example}\n\`\`\``
    }
  }
  return schema
}
