import { describe, expect, it } from 'vitest'
import { starterWords } from '../../../src/coordinator/engines/starter.js'

const address = { nodeRank: '"$SLURM_NODEID"', masterAddress: '"$MASTER_ADDR"', masterPort: '"$MASTER_PORT"' }
const wordsOf = (framework: string, nodes: number, gpusPerNode: number) =>
  starterWords({ framework, nodes, gpusPerNode, address }).join(' ')

describe('The starter of a framework', () => {
  it.each(['HF_TRAINER', 'MEGATRON'])('is torchrun for %s, a process a GPU', (framework) => {
    expect(wordsOf(framework, 2, 4)).toBe(
      'torchrun --nnodes=2 --nproc-per-node=4 --node-rank="$SLURM_NODEID" --master-addr="$MASTER_ADDR" --master-port="$MASTER_PORT" --no-python',
    )
    expect(wordsOf(framework, 1, 0)).toContain('--nproc-per-node=1 ')
  })

  it('is accelerate for FSDP, told the processes of all nodes together', () => {
    expect(wordsOf('FSDP', 2, 4)).toBe(
      'accelerate launch --use_fsdp --num_machines=2 --num_processes=8 --machine_rank="$SLURM_NODEID" ' +
        '--main_process_ip="$MASTER_ADDR" --main_process_port="$MASTER_PORT" --no_python',
    )
  })

  it("is deepspeed's own on one node, which then heeds the GPUs it may see, and torchrun on several", () => {
    expect(wordsOf('DEEPSPEED', 1, 4)).toBe('deepspeed --master_port="$MASTER_PORT" --no_python --no_local_rank')
    expect(wordsOf('DEEPSPEED', 2, 4)).toBe(wordsOf('HF_TRAINER', 2, 4))
  })

  it('starts as many processes on CPUs as are asked for', () => {
    const words = starterWords({ framework: 'FSDP', nodes: 2, gpusPerNode: 0, processesPerNode: 2, address })
    expect(words).toContain('--num_processes=4')
  })

  it.each(['CUSTOM', ''])('is none for "%s"', (framework) => {
    expect(wordsOf(framework, 2, 4)).toBe('')
  })
})
