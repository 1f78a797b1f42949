// What the tests need beyond what the program does.
import { provideSlurm } from './setup/slurm.mjs'
import { main } from './setup/steps.mjs'

await main(async () => {
  await provideSlurm()
  if (process.env.SCAIMIND_HF_PYTHON) return
  const line = '!'.repeat(100)
  process.stderr.write(
    `\n${line}\nSKIPPED: every test of the trainer for HuggingFace models (trainers/hf/tests, test/trainers).\nThey need Python and several GB of packages, and are a stage of their own: node scripts/trainers-test.mjs\n${line}\n\n`,
  )
})
