import { execFileSync } from 'node:child_process'
import { mkdtempSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
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
      TRANSFORMERS: 'model="$(mktemp -d)/tuned" && ln -s /data/models/acme/tuned@0123456789ab "$model" && transformers serve "$model"',
    })
  })

  it('an adapter name its base model and revision, and the adapter beside it', () => {
    expect(commandsOf(adapter(revision('v2')))).toEqual({
      VLLM: 'vllm serve meta-llama/Llama-3.2-1B --revision v2 --enable-lora --lora-modules tuned=/data/models/acme/tuned@0123456789ab',
      TGI: 'model="$(mktemp -d)/tuned" && ln -s /data/models/acme/tuned@0123456789ab "$model" && text-generation-launcher --model-id meta-llama/Llama-3.2-1B --revision v2 --lora-adapters tuned="$model"',
      TRANSFORMERS: expect.stringMatching(/^python -c '.*' \/data\/models\/acme\/tuned@0123456789ab$/),
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
    const path = `/data/it's $(here); "and" \`there\`\n*, a=b`
    const folder = mkdtempSync(join(tmpdir(), 'scaimind-serve-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    // Servers that only say what they were given.
    for (const server of ['vllm', 'text-generation-launcher', 'transformers', 'python']) {
      writeFileSync(join(folder, server), `#!/bin/sh\nprintf '%s\\0' "$@"\n`, { mode: 0o755 })
    }
    const env = { PATH: `${folder}:${process.env.PATH}`, TMPDIR: folder }
    const lastWords = (given: Servable) =>
      serveCommands(given).map(({ command }) => execFileSync('sh', ['-c', command], { env, encoding: 'utf8' }).split('\0').at(-2) ?? '')

    const [, ofTgi, link] = lastWords(model({ path }))
    expect([ofTgi, readlinkSync(link ?? '')]).toEqual([path, path])
    const [module, named, folderOfAdapter] = lastWords(adapter({ path }))
    expect(JSON.parse(module ?? '')).toEqual({ name: 'tuned', path })
    expect([readlinkSync(named?.replace('tuned=', '') ?? ''), folderOfAdapter]).toEqual([path, path])
  })
})
