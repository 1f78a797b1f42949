import type { Client } from 'graphql-ws'
import { plainText } from '../plain-text.js'
import { ProgressView } from '../progress.js'
import { follow } from './follow.js'
import { type JobUpdate, jobLogs, jobMetrics, jobUpdated, type LogEvent, type MetricEvent } from './queries.js'

/** What the subscriptions delivered. */
export interface Delivered {
  metrics: number
  logLines: number
  /** The last lines of output, for when the job fails. */
  lastLines: string[]
}

const lastLinesMax = 20

/** Follows a job's three live streams until they end, and shows how far it is. */
export async function watchDemoJob(client: Client, jobId: string): Promise<Delivered> {
  const view = new ProgressView(process.stderr)
  const delivered: Delivered = { metrics: 0, logLines: 0, lastLines: [] }
  const pace = paceOf()

  const followJob = async () => {
    for await (const { job } of follow<JobUpdate>(client, jobUpdated, { jobId })) {
      const totalSteps = Number(job.progress?.totalSteps ?? 0)
      if (totalSteps > 0) pace.totalSteps = totalSteps
      view.update({ status: job.status, ...(totalSteps > 0 ? { totalSteps } : {}) })
    }
  }
  const followMetrics = async () => {
    for await (const { records = [] } of follow<MetricEvent>(client, jobMetrics, { jobId })) {
      for (const record of records) {
        delivered.metrics++
        view.update(stateOf(record, pace))
      }
    }
  }
  const followLogs = async () => {
    for await (const { records = [] } of follow<LogEvent>(client, jobLogs, { jobId })) {
      for (const { text } of records) {
        delivered.logLines++
        delivered.lastLines = [...delivered.lastLines.slice(1 - lastLinesMax), plainText(text)]
      }
    }
  }
  try {
    await Promise.all([followJob(), followMetrics(), followLogs()])
  } finally {
    view.end()
  }
  return delivered
}

interface Pace {
  totalSteps: number
  first: { step: number; time: number } | undefined
}

function paceOf(): Pace {
  return { totalSteps: 0, first: undefined }
}

function stateOf({ step: stepText, values }: NonNullable<MetricEvent['records']>[number], pace: Pace) {
  const step = Number(stepText)
  const value = (wanted: string) => values.find(({ name }) => name === wanted)?.value
  pace.first ??= { step, time: Date.now() }
  const [loss, tokensPerSecond] = [value('loss'), value('tokens_per_second')]
  const stepsDone = step - pace.first.step
  const secondsAStep = (Date.now() - pace.first.time) / 1000 / stepsDone
  return {
    step,
    ...(loss === undefined ? {} : { loss }),
    ...(tokensPerSecond === undefined ? {} : { tokensPerSecond }),
    ...(stepsDone > 2 && pace.totalSteps > 0 ? { etaSeconds: (pace.totalSteps - step) * secondsAStep } : {}),
  }
}
