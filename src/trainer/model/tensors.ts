import { numpy as np, type Tensors } from '../backend.js'
import type { TensorMap } from '../safetensors.js'

/** Copies named numbers into jax-js. The caller owns the result. */
export function toTensors(map: TensorMap): Tensors {
  return Object.fromEntries([...map].map(([name, { shape, data }]) => [name, np.array(data).reshape(shape)]))
}

/** Copies tensors out of jax-js, leaving them as they are. */
export function fromTensors(tensors: Tensors): TensorMap {
  return new Map(
    Object.entries(tensors).map(([name, tensor]) => [
      name,
      { shape: [...tensor.shape], data: Float32Array.from(tensor.ref.dataSync() as Float32Array) },
    ]),
  )
}
