import type { GpuProgram, GpuReading } from './gpu-readings.js'

/**
 * Those of a machine's GPUs that a trainer may use, as its environment names them: by index, or by the beginning of their id. All of them where it names none. Of a GPU that is
 * shared out in parts (`MIG-…`) nothing is known.
 */
export function visibleGpus(gpus: GpuReading[], vendor: GpuProgram['vendor'], environment: NodeJS.ProcessEnv): GpuReading[] {
  const { CUDA_VISIBLE_DEVICES: cuda, ROCR_VISIBLE_DEVICES: rocr, HIP_VISIBLE_DEVICES: hip } = environment
  if (vendor === 'nvidia') return chosen(gpus, cuda)
  // HIP counts among what ROCr leaves, and takes CUDA's variable for its own.
  return chosen(chosen(gpus, rocr), hip ?? (rocr === undefined ? cuda : undefined), 'by place')
}

function chosen(gpus: GpuReading[], names: string | undefined, counted: 'by index' | 'by place' = 'by index'): GpuReading[] {
  if (names === undefined) return gpus
  return names.split(',').flatMap((text) => {
    const name = text.trim()
    if (/^\d+$/.test(name)) return (counted === 'by place' ? gpus[Number(name)] : gpus.find(({ index }) => index === Number(name))) ?? []
    return (name === '' ? undefined : gpus.find(({ uuid }) => uuid.toLowerCase().startsWith(name.toLowerCase()))) ?? []
  })
}
