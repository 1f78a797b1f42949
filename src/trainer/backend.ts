/** jax-js on its WebAssembly backend, the only one that Node has. Importing this module takes about 100 ms and needs no GPU. */
import type * as Jax from '@jax-js/jax'

// The package asks for `navigator.gpu` while it loads; Node 20 has no navigator.
Reflect.set(globalThis, 'navigator', Reflect.get(globalThis, 'navigator') ?? {})
const jax: typeof Jax = await import('@jax-js/jax')
await jax.init('wasm')
jax.defaultDevice('wasm')

/** An array in jax-js: owned, so each use but the last takes `.ref`. */
export type Tensor = Jax.Array

/** Tensors by name. */
export type Tensors = Record<string, Tensor>

export const { numpy, nn, jit, valueAndGrad, tree } = jax
