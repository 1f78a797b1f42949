import { SetupError } from './steps.mjs'

const oldest = [20, 19]

/** Refuses a Node that is too old for what is used here. */
export function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major < oldest[0] || (major === oldest[0] && minor < oldest[1])) {
    throw new SetupError(`ScaiMind needs Node ${oldest.join('.')} or newer; this is Node ${process.versions.node}.`)
  }
}
