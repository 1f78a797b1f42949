import { packageDefinition, toTimestamp } from '../../contract/proto.js'
import type { Job__Output } from '../../generated/proto/scaimind/v1/Job.js'
import { isoTime } from './driver.js'

type Row = Record<string, unknown>

/** A time as protobuf holds it, which was read as text and is mostly wanted as text again. */
export class ColumnTime {
  constructor(readonly iso: string) {}
  get seconds() {
    return toTimestamp(new Date(this.iso)).seconds
  }
  get nanos() {
    return toTimestamp(new Date(this.iso)).nanos
  }
}

const time = (value: unknown) => (typeof value === 'string' ? new ColumnTime(isoTime(value)) : null)

/** The fields of a job that are columns of their own, and how they are read back. */
const readers = {
  job_id: (value: unknown) => value,
  revision: String,
  user_id: (value: unknown) => value,
  name: (value: unknown) => value,
  status: (value: unknown) => value,
  message: (value: unknown) => value,
  content_hash: (value: unknown) => value,
  gpu_seconds: (value: unknown) => value,
  created_at: time,
  started_at: time,
  finished_at: time,
  updated_at: time,
} as const satisfies Partial<Record<keyof Job__Output, (value: unknown) => unknown>>

/** A field of a job that can be had without its document. */
export type JobColumn = keyof typeof readers

/** A job of which only some columns were read. To look at anything else is a fault of ours, and throws. */
class JobOfColumns {
  constructor(readonly row: Row) {}
}

const message = packageDefinition['scaimind.v1.Job'] as { type: { field: { name: string }[] } }
for (const { name } of message.type.field) {
  const read = (readers as Record<string, (value: unknown) => unknown>)[name]
  Object.defineProperty(JobOfColumns.prototype, name, {
    get(this: JobOfColumns) {
      const value = this.row[name]
      if (!read || value === undefined)
        throw new Error(`The field ${name} of a job was not read from the cache: what asks for it does not say so.`)
      return read(value)
    },
  })
}

/** A job made of the columns of a row. */
export const jobOfColumns = (row: Row): Job__Output => new JobOfColumns(row) as unknown as Job__Output
