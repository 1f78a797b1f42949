import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

const globalSetup = 'test/support/global-setup.ts'

/** Files that wait minutes for Slurm, or for processes that are killed, come first: at the end everybody would wait for them. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const isLong = ({ moduleId }: TestSpecification) => /slurm|survival|failover/.test(moduleId)
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))]
  }
}

// The trainer for HuggingFace models has tests where there is a Python to run it; scripts/trainers-test.mjs makes one.
export default defineConfig({
  // The one that Node itself takes: two copies of graphql in a process refuse each other's schemas.
  resolve: { alias: [{ find: /^graphql$/, replacement: fileURLToPath(import.meta.resolve('graphql')) }] },
  test: {
    pool: 'forks',
    // Loading the modules anew for each file was a third of the time; files share nothing but them.
    isolate: false,
    sequence: { sequencer: LongestFirst },
    // Most tests wait for other processes: five at once are quicker even on two cores.
    maxWorkers: Math.max(5, availableParallelism() - 1),
    // Tests wait for signals and events, not for time: these limits only end what hangs.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    teardownTimeout: 30_000,
    projects: [
      {
        // Reads the sources only, so `npm run check` can run it without a database.
        extends: true,
        test: { name: 'architecture', include: ['test/architecture.test.ts'] },
      },
      {
        extends: true,
        test: {
          name: 'tests',
          include: ['test/**/*.test.ts', 'examples/**/*.test.ts'],
          exclude: ['test/architecture.test.ts', 'test/trainers/**'],
          globalSetup: existsSync(globalSetup) ? [globalSetup] : [],
        },
      },
      ...(process.env.SCAIMIND_HF_PYTHON
        ? [
            {
              // Processes of torch: one at a time is quickest on few cores.
              extends: true as const,
              test: {
                name: 'trainers',
                include: ['test/trainers/**/*.test.ts'],
                globalSetup: [globalSetup],
                maxWorkers: 1,
                testTimeout: 900_000,
              },
            },
          ]
        : []),
    ],
  },
})
