import { existsSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { hfSetup } from '../../../src/coordinator/data/hf-setup.js'
import { findHfTrainer } from '../../../src/coordinator/data/hf-trainer.js'
import { hfEnvironment } from '../../../src/hf-environment.js'

/** A coordinator's way to the trainer, where `sh` makes the environment. */
function settingUp(script: (folder: string) => string) {
  const cacheHome = mkdtempSync(join(tmpdir(), 'scaimind-hf-setup-'))
  const folder = hfEnvironment(cacheHome)?.folder ?? ''
  let now = Date.parse('2030-01-01T10:00:00Z')
  const log = { info: vi.fn(), error: vi.fn() }
  const setup = hfSetup({ cacheHome, command: ['/bin/sh', '-c', script(folder)], log, clock: () => new Date(now) })
  onTestFinished(() => setup.close())
  const settings = { python: null, wrapper: [], modules: [], megatronPath: null, cacheHome, setup }
  return {
    cacheHome,
    log,
    wait: (ms: number) => {
      now += ms
    },
    find: async () => {
      const found = await findHfTrainer(settings, { starter: '', isQuantized: false })
      return found.command ?? found.problem
    },
  }
}

describe('Where the packages of the trainer for HuggingFace models are missing', () => {
  it('the first job that needs them has them installed, and is told how far that is until they are there', async () => {
    const { find, cacheHome, log } = settingUp(
      (folder) => `echo '20 of 140 packages fetched' >&2; while ! [ -e "$XDG_CACHE_HOME/go" ]; do sleep 0.05; done
        mkdir -p '${folder}/bin'; : > '${folder}/bin/python'; : > '${folder}/.scaimind-complete'`,
    )
    expect(await find()).toBe('Its Python packages are being installed since 2030-01-01T10:00:00.000Z: submit again when they are there.')
    await vi.waitFor(async () => expect(await find()).toContain('(20 of 140 packages fetched)'), 30_000)
    writeFileSync(join(cacheHome, 'go'), '')
    await vi.waitFor(async () => expect(await find()).toEqual([expect.stringContaining('/bin/python'), expect.any(String)]), 30_000)
    expect(log.info).toHaveBeenCalledTimes(2)
  })

  it('says why they could not be installed, and tries again after five minutes', async () => {
    const { find, cacheHome, wait, log } = settingUp(
      () => `echo x >> "$XDG_CACHE_HOME/tries"; echo 'No matching distribution.' >&2; exit 1`,
    )
    await find()
    const why = 'Its Python packages could not be installed: No matching distribution. It is tried again after some minutes.'
    await vi.waitFor(async () => expect(await find()).toBe(why), 30_000)
    expect(log.error).toHaveBeenCalledOnce()
    wait(5 * 60_000)
    expect(await find()).toMatch(/being installed/)
    await vi.waitFor(async () => expect(await find()).toBe(why), 30_000)
    expect(existsSync(join(cacheHome, 'tries'))).toBe(true)
  })
})
