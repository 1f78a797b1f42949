import { execFileSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { type Servable, serveCommands } from '../../../src/api/operations/serve-commands.js'

const model = (more: Partial<Servable> = {}): Servable => ({
  name: 'tuned',
  path: '/data/models/acme/tuned@0123456789ab',
  kind: 'model',
  base_path: 'meta-llama/Llama-3.2-1B',
  base_model: null,
  model_type: 'llama',
  lora_rank: 0,
  ...more,
})
const adapter = (more: Partial<Servable> = {}) => model({ kind: 'adapter', lora_rank: 8, ...more })
const commandsOf = (given: Servable) => Object.fromEntries(serveCommands(given).map(({ server, command }) => [server, command]))
const revision = (text: string) => ({ base_model: { revision: text } as Servable['base_model'] })

describe('The commands that serve', () => {
  it('a model name its folder', () => {
    expect(commandsOf(model())).toEqual({
      VLLM: 'vllm serve /data/models/acme/tuned@0123456789ab --served-model-name tuned',
      TGI: 'text-generation-launcher --model-id /data/models/acme/tuned@0123456789ab',
      TRANSFORMERS: 'transformers serve /data/models/acme/tuned@0123456789ab',
    })
  })

  it('an adapter name its base model and revision, and the adapter beside it', () => {
    expect(commandsOf(adapter(revision('v2')))).toEqual({
      VLLM: 'vllm serve meta-llama/Llama-3.2-1B --revision v2 --enable-lora --lora-modules tuned=/data/models/acme/tuned@0123456789ab',
      TGI: 'text-generation-launcher --model-id meta-llama/Llama-3.2-1B --revision v2 --lora-adapters tuned=/data/models/acme/tuned@0123456789ab',
      TRANSFORMERS: 'transformers serve /data/models/acme/tuned@0123456789ab',
    })
  })

  it.each([
    [16, ''],
    [17, '--max-lora-rank 32 '],
    [64, '--max-lora-rank 64 '],
    [200, '--max-lora-rank 256 '],
  ])('an adapter of rank %i let vLLM take it', (rank, option) => {
    expect(commandsOf(adapter({ lora_rank: rank })).VLLM).toContain(`--enable-lora ${option}--lora-modules`)
  })

  it('a byte-level model are our own', () => {
    expect(commandsOf(adapter({ model_type: 'scaimind_byte', base_path: '/models/base' }))).toEqual({
      SCAIMIND: 'node dist/trainer/main.js --generate /data/models/acme/tuned@0123456789ab --base /models/base --prompt Once',
    })
    expect(commandsOf(adapter({ model_type: 'scaimind_byte', base_path: 'scaimind/byte-tiny' })).SCAIMIND).not.toContain('--base')
  })

  it('are read by a shell as they are meant, whatever a path holds', () => {
    const path = `/data/it's $(here); "and" \`there\`\n*`
    const command = commandsOf(model({ path })).TRANSFORMERS ?? ''
    const words = execFileSync('sh', ['-c', `transformers() { printf '%s\\0' "$@"; }; ${command}`], { encoding: 'utf8' }).split('\0')
    expect(words).toEqual(['serve', path, ''])
  })
})
