import type { Command } from 'commander'
import { addControl } from './control.js'
import { addList } from './list.js'
import { addLogs } from './logs.js'
import { addMetrics } from './metrics.js'
import { addShow } from './show.js'
import { addSubmit } from './submit.js'
import { addWatch } from './watch.js'

/** `scaimind job` and its subcommands, all of which speak to the API over HTTP. */
export function addJob(program: Command): void {
  const job = program
    .command('job')
    .description('submit, read and control jobs')
    .addHelpText(
      'after',
      `
Where the API is: --server, else SCAIMIND_URL, else the \`scaimind up\` of this folder.
Who asks: --key, else SCAIMIND_API_KEY, else the key of that \`scaimind up\`.`,
    )
  for (const add of [addSubmit, addList, addShow, addWatch, addLogs, addMetrics, addControl]) add(job)
}
