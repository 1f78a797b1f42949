import { newJobId } from '../../src/contract/ids.js'
import { scaimindV1, toTimestamp } from '../../src/contract/proto.js'
import type { Job, Job__Output } from '../../src/generated/proto/scaimind/v1/Job.js'

/** A job as it comes off the wire, what is not given by default. */
export function wireJob(tenantId: string, fields: Job = {}): Job__Output {
  const definition = scaimindV1.CoordinatorService.service.GetJob
  const whole: Job = {
    job_id: newJobId(),
    tenant_id: tenantId,
    revision: '1',
    status: 'QUEUED',
    name: 'a',
    created_at: toTimestamp(new Date()),
    ...fields,
  }
  return definition?.responseDeserialize(definition.responseSerialize(whole)) as Job__Output
}
