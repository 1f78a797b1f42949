/** A promise, and what resolves it; to resolve it twice is fine. */
export interface PromiseWithResolver {
  promise: Promise<void>
  resolve: () => void
}

/** One that is not resolved yet. */
export function resolver(): PromiseWithResolver {
  let resolve = () => {}
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve }
}
