import type { ModelServer } from '../../contract/statuses.js'
import type { RegisteredModel__Output } from '../../generated/proto/scaimind/v1/RegisteredModel.js'

/** How a model is served. */
export interface ServeCommand {
  server: ModelServer
  /** One line for a POSIX shell. */
  command: string
  /** What the command takes for granted. */
  note: string
}

/** What a command depends on. */
export type Servable = Pick<RegisteredModel__Output, 'name' | 'path' | 'kind' | 'base_path' | 'base_model' | 'model_type' | 'lora_rank'>

/** Ranks that vLLM takes as its highest; 16 is its default. */
const vllmRanks = [16, 32, 64, 128, 256, 320, 512] as const

/** The commands that serve a model, by the servers that can: those of HuggingFace models, or for a byte-level model our own. Pure. */
export function serveCommands(model: Servable): ServeCommand[] {
  if (model.model_type === 'scaimind_byte') return [ownGeneration(model)]
  return model.kind === 'adapter' ? adapterCommands(model) : modelCommands(model)
}

function adapterCommands({ name, path, base_path: base, base_model: given, lora_rank: rank }: Servable): ServeCommand[] {
  // vLLM reads what holds a comma as JSON, and what holds no comma by its one equals sign.
  const module = /[=,]/.test(path) ? JSON.stringify({ name, path }) : `${name}=${path}`
  const revision = given?.revision ? ['--revision', given.revision] : []
  const maxRank = rank > vllmRanks[0] ? ['--max-lora-rank', String(vllmRanks.find((one) => one >= rank) ?? rank)] : []
  return [
    {
      server: 'VLLM',
      command: line('vllm', 'serve', base, ...revision, '--enable-lora', ...maxRank, '--lora-modules', module),
      note: `Requests name the model ${name}; the base model answers under its own name.`,
    },
    {
      server: 'TGI',
      command: `${linked({ name, path })} ${line('text-generation-launcher', '--model-id', base, ...revision)} --lora-adapters ${name}="$model"`,
      note: `Requests give the parameter adapter_id: ${name}. The link is there because TGI takes what follows an @ in an adapter’s path for a revision; in a model’s it does not.`,
    },
    {
      server: 'TRANSFORMERS',
      command: line('python', '-c', pipelineScript, path),
      note: 'Continues one text, with transformers and peft: `transformers serve` takes no adapters.',
    },
  ]
}

const pipelineScript =
  'import sys; from transformers import pipeline; print(pipeline("text-generation", model=sys.argv[1])("Once")[0]["generated_text"])'

function modelCommands({ name, path }: Servable): ServeCommand[] {
  return [
    {
      server: 'VLLM',
      command: line('vllm', 'serve', path, '--served-model-name', name),
      note: `Requests name the model ${name}.`,
    },
    {
      server: 'TGI',
      command: line('text-generation-launcher', '--model-id', path),
      note: 'It answers with this model whatever a request names.',
    },
    {
      server: 'TRANSFORMERS',
      command: `${linked({ name, path })} transformers serve "$model"`,
      note: 'Needs transformers[serving]. The link is there because it takes what follows an @ for a revision.',
    },
  ]
}

/** Makes a link to a model, `$model`, in a folder whose path holds no @. */
const linked = ({ name, path }: Pick<Servable, 'name' | 'path'>): string =>
  `model="$(mktemp -d)/${name}" && ${line('ln', '-s', path)} "$model" &&`

function ownGeneration({ path, kind, base_path: base }: Servable): ServeCommand {
  // A shipped base model is found by the adapter's own file.
  const from = kind === 'adapter' && base.startsWith('/') ? ['--base', base] : []
  return {
    server: 'SCAIMIND',
    command: line('node', 'dist/trainer/main.js', '--generate', path, ...from, '--prompt', 'Once'),
    note: 'Continues one text, in the folder of the ScaiMind package; other servers do not know byte-level models.',
  }
}

const line = (...words: string[]): string => words.map(quoted).join(' ')

/** A word as a shell takes it, whatever is in it. */
const quoted = (word: string): string => (/^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)
