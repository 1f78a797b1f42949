import type { JobOperations } from './job-types.js'
export type JobParts = object
export declare function jobOperations(parts: JobParts): JobOperations
