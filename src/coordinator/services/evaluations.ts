import type { CancelEvaluationRequest__Output } from '../../generated/proto/scaimind/v1/CancelEvaluationRequest.js'
import type { GetEvaluationRequest__Output } from '../../generated/proto/scaimind/v1/GetEvaluationRequest.js'
import type { ListEvaluationsRequest__Output } from '../../generated/proto/scaimind/v1/ListEvaluationsRequest.js'
import type { SubmitEvaluationRequest__Output } from '../../generated/proto/scaimind/v1/SubmitEvaluationRequest.js'
import type { JobEvaluations } from '../jobs/requests/evaluations.js'
import { type Methods, unary } from './handlers.js'

/** `EvaluationService`. */
export function evaluationMethods(evaluations: JobEvaluations): Methods {
  return {
    SubmitEvaluation: unary((request: SubmitEvaluationRequest__Output, caller) => evaluations.submit(caller, request)),
    GetEvaluation: unary(({ evaluation_id: id }: GetEvaluationRequest__Output, { tenantId }) => evaluations.get(tenantId, id)),
    ListEvaluations: unary((request: ListEvaluationsRequest__Output, { tenantId }) => evaluations.list(tenantId, request)),
    CancelEvaluation: unary((request: CancelEvaluationRequest__Output, caller) => evaluations.cancel(caller, request)),
  }
}
