import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')

/** Clones HEAD into an empty folder and runs the demo there, as someone new would. */
export async function measure() {
  const folder = mkdtempSync(join(tmpdir(), 'scaimind-fresh-'))
  try {
    const start = Date.now()
    const seconds = () => (Date.now() - start) / 1000
    execFileSync('git', ['clone', '--quiet', root, folder], { stdio: ['ignore', 'inherit', 'inherit'] })
    const { lines, exitCode } = await runDemo(folder, seconds)
    const firstMetric = lines.find(({ text }) => /step \d+.*loss/.test(text))
    const trained = lines.find(({ text }) => /^completed/.test(text))
    const submitted = lines.find(({ text }) => /^Job job_/.test(text))
    if (exitCode !== 0 || !firstMetric || !submitted || !trained) throw new Error(`The demo ended with ${exitCode}; its output is above.`)
    const outcome = JSON.parse(lines.at(-1).text)
    return {
      seconds_to_first_metric: firstMetric.at,
      job_seconds: trained.at - submitted.at,
      total_seconds: seconds(),
      base_perplexity: outcome.base_perplexity,
      tuned_perplexity: outcome.tuned_perplexity,
      perplexity_change: outcome.tuned_perplexity / outcome.base_perplexity - 1,
      steps: outcome.steps,
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Runs the demo and notes when each line of its output came. */
function runDemo(folder, seconds) {
  const demo = spawn('npm', ['run', 'demo', '--', '--exit'], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
  const lines = []
  for (const stream of [demo.stdout, demo.stderr]) {
    let rest = ''
    stream.setEncoding('utf8').on('data', (chunk) => {
      process.stderr.write(chunk)
      const parts = (rest + chunk).split('\n')
      rest = parts.pop() ?? ''
      for (const text of parts) if (text.trim() !== '') lines.push({ at: seconds(), text })
    })
  }
  return new Promise((done) => {
    demo.on('close', (exitCode) => done({ lines, exitCode }))
  })
}
