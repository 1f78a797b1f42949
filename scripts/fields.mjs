// Writes docs/fields.md from the table of fields; with --check only says whether it is as it should be.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { main, root, SetupError } from './setup/steps.mjs'

const intro = `# What each field of a submission does

Every field acts or is refused by name, by whatever trains: the **embedded** trainer (\`scaimind/…\` models), the **HuggingFace** trainer (every other model: SFT, LORA, QLORA, DPO, RLHF, CONTINUED_PRETRAIN,
FULL_FINETUNE by HF_TRAINER, DEEPSPEED, FSDP or MEGATRON), a **CUSTOM** script, or the operator's **program** for a framework (SCAIMIND_TRAINERS). Names, values and what goes together are checked when a job is
submitted: a refusal names the field. *In \`job.json\`*: the program is told, and makes of it what it does. 〃: as to the left.

This page is made from \`src/coordinator/jobs/fields/\` by \`npm run fields\`; a test submits every field to every trainer, for every training type and framework.
`

const trainers = [
  ['embedded', 'embedded'],
  ['hf', 'HuggingFace'],
  ['custom', 'CUSTOM'],
  ['program', 'program'],
]
const groups = [
  ['The job', (path) => !path.includes('.') || path.startsWith('labels')],
  ['training_config', (path) => /^training_config\.[a-z_]+(\.\*)?$/.test(path)],
  ['training_config.base_model', (path) => path.startsWith('training_config.base_model.')],
  ['training_config.framework', (path) => path.startsWith('training_config.framework.')],
  ['training_config.hyperparameters', (path) => path.startsWith('training_config.hyperparameters.')],
  ['data_config', (path) => path.startsWith('data_config.')],
  ['resource_config', (path) => path.startsWith('resource_config.')],
  ['output_config', (path) => path.startsWith('output_config.')],
  ['scheduling_config', (path) => path.startsWith('scheduling_config.')],
]

await main(async () => {
  const { fields } = await import('../dist/coordinator/jobs/fields/table.js')
  const path = join(root, 'docs/fields.md')
  const printed = `${[
    intro,
    ...groups.map(([title, isMeant]) =>
      section(
        title,
        fields.filter((field) => isMeant(field.path)),
      ),
    ),
  ].join('\n')}`
  const written = existsSync(path) ? readFileSync(path, 'utf8') : ''
  if (printed === written) return
  if (process.argv.includes('--check')) throw new SetupError('docs/fields.md is stale; run `npm run fields`')
  writeFileSync(path, printed)
  process.stderr.write('docs/fields.md written\n')
})

function section(title, fields) {
  const rows = fields.map(
    ({ path, cells }) => `| ${short(path, title)} | ${rowOf(trainers.map(([kind]) => cell(cells[kind]))).join(' | ')} |`,
  )
  const head = ['field', ...trainers.map(([, name]) => name)]
  return [`## ${title}`, '', `| ${head.join(' | ')} |`, `|${' --- |'.repeat(head.length)}`, ...rows, ''].join('\n')
}

/** What is said already to the left is not said again. */
function rowOf(texts) {
  return texts.map((text, index) => (index > 0 && text === texts[index - 1] ? '〃' : text))
}

function short(path, title) {
  return `\`${path.startsWith(`${title}.`) ? path.slice(title.length + 1) : path}\``
}

function cell(given) {
  if ('refused' in given) return `refused: ${inTable(given.refused)}`
  const where = [given.types && `for ${given.types.join(', ')}`, given.frameworks && `with ${given.frameworks.join(', ')}`].filter(Boolean)
  const value = given.kind ? ` Must be ${given.kind.text}.` : ''
  return inTable(`${given.acts}${value}${where.length > 0 ? ` Only ${where.join(', ')}.` : ''}`)
}

function inTable(text) {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ')
}
