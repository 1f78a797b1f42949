/** What the demo asks of the public API; anyone's front end could. */
export const submitJob = `mutation Submit($input: SubmitJobInput!) {
  submitJob(input: $input) {
    __typename
    ... on SubmitJobSuccess { job { jobId } }
    ... on InvalidInput { fields { path message } }
    ... on Error { code message }
  }
}`

export const cancelJob = `mutation Cancel($jobId: ID!) {
  cancelJob(jobId: $jobId, reason: "The demo was stopped.") { __typename }
}`

export const jobUpdated = `subscription Job($jobId: ID!, $after: String) {
  message: jobUpdated(jobId: $jobId, after: $after) {
    cursor
    job { status message progress { step totalSteps etaSeconds } }
  }
}`

export const jobMetrics = `subscription Metrics($jobId: ID!, $after: String) {
  message: jobMetrics(jobId: $jobId, after: $after) {
    __typename
    ... on MetricBatch { cursor records { step values { name value } } }
    ... on StreamGap { cursor reason }
    ... on StreamEnd { reason }
  }
}`

export const jobLogs = `subscription Logs($jobId: ID!, $after: String) {
  message: jobLogs(jobId: $jobId, after: $after) {
    __typename
    ... on LogBatch { cursor records { level text } }
    ... on StreamGap { cursor reason }
    ... on StreamEnd { reason }
  }
}`

export const outcome = `query Outcome($jobId: ID!) {
  viewer { tenantId }
  job(jobId: $jobId, consistency: COORDINATOR) {
    status
    progress { step }
    failure { message hint }
    output { path }
    finalEvaluation {
      base { loss perplexity }
      tuned { loss perplexity }
      samples { prompt base tuned }
    }
  }
}`

/** Answers. */
export interface SubmitAnswer {
  submitJob: { job?: { jobId: string } | null; code?: string; message?: string; fields?: { path: string; message: string }[] }
}
export interface JobUpdate {
  cursor: string
  job: {
    status: string
    message: string | null
    progress: { step: number | string; totalSteps: number | string | null; etaSeconds: number | null } | null
  }
}
export interface MetricEvent {
  __typename: string
  cursor?: string
  reason?: string
  records?: { step: number | string; values: { name: string; value: number }[] }[]
}
export interface LogEvent {
  __typename: string
  cursor?: string
  reason?: string
  records?: { level: string; text: string }[]
}
export interface Score {
  loss: number
  perplexity: number
}
export interface OutcomeAnswer {
  viewer: { tenantId: string }
  job: {
    status: string
    progress: { step: number | string } | null
    failure: { message: string; hint: string | null } | null
    output: { path: string } | null
    finalEvaluation: { base: Score; tuned: Score; samples: { prompt: string; base: string; tuned: string }[] } | null
  }
}
