/** Files of an artefact by their path in the attempt's folder. */
export type ArtefactFiles = Record<string, string>

/** A CUSTOM script that leaves artefacts, each a folder with its files, and then does `then`. */
export const leavesArtefacts = (artefacts: { kind: 'adapter' | 'model'; path: string; files: ArtefactFiles }[], then = '') =>
  `import { appendFileSync, existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
const tell = (event) => appendFileSync('events.jsonl', JSON.stringify({ time: new Date().toISOString(), ...event }) + '\\n')
const write = (folder, files) => {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(folder + '/' + name), { recursive: true })
    writeFileSync(folder + '/' + name, text)
  }
}
${then}
for (const { kind, path, files } of ${JSON.stringify(artefacts)}) {
  write(path, files)
  tell({ type: 'artefact', kind, path, files: Object.keys(files), bytes: 1 })
}`

/** What PEFT writes, but for its weights. */
export const adapterFiles = (weights: string, rank = 8): ArtefactFiles => ({
  'adapter_config.json': JSON.stringify({ peft_type: 'LORA', r: rank, base_model_name_or_path: 'org/base' }),
  'adapter_model.safetensors': weights,
})
