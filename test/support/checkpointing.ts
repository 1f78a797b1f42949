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
