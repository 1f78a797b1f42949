import { describe, expect, it } from 'vitest'
import { environmentProblems, trainerEnvironment } from '../../../src/coordinator/data/environment.js'

describe("A job's environment", () => {
  it('may hold what the trainer alone is concerned with', () => {
    expect(environmentProblems({ HF_HOME: '/x', WANDB_MODE: 'offline', PYTHONHASHSEED: '0', TZ: 'Europe/Amsterdam', empty: '' })).toEqual(
      [],
    )
  })

  it.each([
    ...[
      'SCAIMIND_JOB_DIR',
      'LD_PRELOAD',
      'DYLD_INSERT_LIBRARIES',
      'NODE_OPTIONS',
      'PATH',
      'PYTHONPATH',
      'PYTHONSTARTUP',
      'RANK',
      'LOCAL_RANK',
    ],
    ...[
      'WORLD_SIZE',
      'MASTER_ADDR',
      'MASTER_PORT',
      'CUDA_VISIBLE_DEVICES',
      'HIP_VISIBLE_DEVICES',
      'ROCR_VISIBLE_DEVICES',
      'HOME',
      'BASH_ENV',
      'OPENSSL_CONF',
      'A-B',
      '1A',
      '',
      'A B',
      'A=B',
    ],
  ])('cannot hold %j', (name) => {
    expect(environmentProblems({ [name]: 'x' })).toMatchObject([{ path: `training_config.environment.${name}` }])
  })

  it('cannot hold values that no process can be given', () => {
    expect(environmentProblems({ A: 'a\0b', B: 'x'.repeat(70_000) })).toHaveLength(2)
    expect(environmentProblems(Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`A${i}`, ''])))).toHaveLength(1)
  })

  it('is put on top of one built from nothing', () => {
    process.env.SCAIMIND_TEST_SECRET = 'secret'
    expect(trainerEnvironment({ directory: '/job', environment: { A: 'b', TZ: 'Asia/Tokyo' } })).toEqual({
      PATH: expect.stringContaining('/usr/bin'),
      HOME: '/job',
      LANG: 'C.UTF-8',
      TZ: 'Asia/Tokyo',
      PYTHONUNBUFFERED: '1',
      A: 'b',
    })
  })
})
