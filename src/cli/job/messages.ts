/** The parts of the REST answers that the commands show; the whole answers are in the protobuf files. */
export interface JobMessage {
  job_id: string
  name: string
  status: string
  message?: string
  created_at?: string | null
  started_at?: string | null
  finished_at?: string | null
  queue_position?: number
  unreachable_since?: string | null
  unreachable_reason?: string
  labels?: Record<string, string>
  training_config?: { training_type?: string; base_model?: { model_id?: string } | null } | null
  progress?: ProgressMessage | null
  failure?: { message?: string; hint?: string; evidence?: string[] } | null
  output?: { kind?: string; path?: string; registered_path?: string } | null
  final_evaluation?: FinalEvaluationMessage | null
  available_actions?: string[]
}

/** A complete checkpoint of a job. */
export interface CheckpointMessage {
  checkpoint_id: string
  step: string | number
}

/** 64-bit counts come as strings. */
export interface ProgressMessage {
  step?: string | number
  total_steps?: string | number
  epoch?: number
  eta_seconds?: number | null
}

/** The model before and after training, on held-out records. */
export interface FinalEvaluationMessage {
  base?: ScoreMessage | null
  tuned?: ScoreMessage | null
}

interface ScoreMessage {
  loss: number
  perplexity: number
}

/** One line of a job's output. */
export interface LogMessage {
  cursor: string
  time: string
  rank?: number
  stream?: string
  level: string
  text: string
}

/** One line of a trainer's metrics. */
export interface MetricMessage {
  cursor: string
  step: string | number
  epoch?: number
  time: string
  values: Record<string, number>
}

/** What comes in a stream instead of records that are gone. */
export interface GapMessage {
  from: string
  to: string
  reason: string
}

/** A change of a job. */
export interface JobEventMessage {
  cursor: string
  type: string
  to_status?: string
  message?: string
  job?: JobMessage | null
}
