/** A CUSTOM script that measures, and saves a checkpoint of 1,002 bytes, at each of these steps; then it does `then`. */
export const checkpointing = (steps: number[], then = '') => `import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
const time = new Date().toISOString()
for (const step of ${JSON.stringify(steps)}) {
  console.log(JSON.stringify({ step, loss: 1 / step }))
  const path = 'checkpoints/step-' + step
  mkdirSync(path, { recursive: true })
  writeFileSync(path + '/weights', 'x'.repeat(1000))
  writeFileSync(path + '/manifest.json', '{}')
  const told = { type: 'checkpoint', time, checkpoint_id: 'step-' + step, step, path, bytes: 1002, metrics: { loss: 1 / step } }
  appendFileSync('events.jsonl', JSON.stringify(told) + '\\n')
}
${then}`

/**
 * A CUSTOM script that trains in small steps and obeys: it saves a checkpoint every `saveEvery` steps and when it is asked to stop (unless it is told not to), then
 * exits with 85, and goes on from the checkpoint that it is given. Of several processes only the first saves.
 */
export const obedient = ({ steps = 1_000_000, everyMs = 20, saveEvery = 1_000_000 } = {}) => `
import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
const { attempt, resume_from: from } = JSON.parse(readFileSync('job.json', 'utf8'))
const isFirst = process.env.RANK === '0'
let step = from ? Number(readFileSync(from + '/weights', 'utf8')) : 0
const tell = (event) => appendFileSync('events.jsonl', JSON.stringify({ time: new Date().toISOString(), ...event }) + '\\n')
function save() {
  if (!isFirst) return
  const path = 'checkpoints/step-' + step
  if (existsSync(path)) return
  mkdirSync(path + '.part', { recursive: true })
  writeFileSync(path + '.part/weights', String(step))
  writeFileSync(path + '.part/manifest.json', JSON.stringify({ step, files: [{ name: 'weights', bytes: String(step).length }] }))
  renameSync(path + '.part', path)
  tell({ type: 'checkpoint', checkpoint_id: 'step-' + step, step, path, bytes: 100, metrics: {} })
}
process.on('SIGUSR1', save)
process.on('SIGTERM', () => {
  const stop = existsSync('stop.json') ? JSON.parse(readFileSync('stop.json', 'utf8')) : { save_checkpoint: true }
  if (stop.save_checkpoint) save()
  process.exit(85)
})
if (isFirst) tell({ type: 'ready', signals: ['USR1', 'TERM'], pid: process.pid })
console.log('attempt ' + attempt + ' begins after step ' + step)
setInterval(() => {
  step++
  console.log(JSON.stringify({ step, loss: 1 / step }))
  if (step % ${saveEvery} === 0) save()
  if (step >= ${steps}) process.exit(0)
}, ${everyMs})
`
