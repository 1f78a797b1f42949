// What the tests need beyond what the program does.
import { provideSlurm } from './setup/slurm.mjs'
import { main } from './setup/steps.mjs'

await main(provideSlurm)
