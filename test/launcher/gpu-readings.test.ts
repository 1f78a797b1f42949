import { describe, expect, it } from 'vitest'
import { parseNvidiaSmi, parseRocmSmi } from '../../src/launcher/gpu-readings.js'
import { visibleGpus } from '../../src/launcher/visible-gpus.js'
import { nvidiaLine } from '../support/gpus.js'

describe('What nvidia-smi says', () => {
  it('is read with what it cannot tell as null, and without what an old one does not know', () => {
    const cannotTell = nvidiaLine(1, { used: '[N/A]', busy: '[N/A]', watts: '[Not Supported]', celsius: 'N/A' })
    expect(parseNvidiaSmi(`${nvidiaLine(0)}\n${cannotTell}\n2, NVIDIA H200, 143771, 0, 7\n`)).toEqual([
      {
        index: 0,
        uuid: 'GPU-0',
        name: 'NVIDIA A100-SXM4-80GB',
        memoryBytes: 80 * 2 ** 30,
        memoryUsedBytes: 2 ** 30,
        utilization: 0.5,
        powerWatts: 250.5,
        temperatureCelsius: 61,
      },
      expect.objectContaining({ index: 1, memoryUsedBytes: null, utilization: null, powerWatts: null, temperatureCelsius: null }),
      expect.objectContaining({ index: 2, uuid: '', utilization: 0.07, powerWatts: null, temperatureCelsius: null }),
    ])
  })

  it('of no devices is none', () => expect(parseNvidiaSmi('No devices were found\n')).toEqual([]))
})

describe('What rocm-smi says', () => {
  const card = {
    'Card Series': '\t\tAMD Instinct MI250X',
    'Unique ID': '0x6f1a2b',
    'GPU use (%)': '88',
    'VRAM Total Memory (B)': '68702699520',
    'VRAM Total Used Memory (B)': '10850304',
    'Average Graphics Package Power (W)': '211.0',
    'Temperature (Sensor edge) (C)': '44.0',
    'Temperature (Sensor junction) (C)': '47.0',
  }
  const secondDie = { ...card, 'Average Graphics Package Power (W)': 'N/A (Secondary die)' }
  const newer = {
    'Card Series': 'AMD Instinct MI300X',
    'GPU use (%)': '0',
    'Current Socket Graphics Package Power (W)': '139.0',
    'Temperature (Sensor junction) (C)': '41.0',
  }

  it('is read whatever the generation, warnings before it aside', () => {
    const answer = `WARNING: AMD GPU device(s) is/are in a low-power state.\n${JSON.stringify({ card0: card, card1: secondDie, card2: newer, system: { 'Driver version': '6.7' } })}`
    expect(parseRocmSmi(answer)).toEqual([
      {
        index: 0,
        uuid: 'GPU-6f1a2b',
        name: 'AMD Instinct MI250X',
        memoryBytes: 68702699520,
        memoryUsedBytes: 10850304,
        utilization: 0.88,
        powerWatts: 211,
        temperatureCelsius: 44,
      },
      expect.objectContaining({ index: 1, powerWatts: null, temperatureCelsius: 44 }),
      expect.objectContaining({ index: 2, uuid: '', memoryBytes: null, utilization: 0, powerWatts: 139, temperatureCelsius: 41 }),
    ])
  })

  it('without JSON is none', () => expect(parseRocmSmi('ERROR: no driver')).toEqual([]))
})

describe('The GPUs of a trainer', () => {
  const gpus = parseNvidiaSmi([0, 1, 2, 3].map((index) => nvidiaLine(index)).join('\n'))
  const seen = (vendor: 'nvidia' | 'amd', environment: NodeJS.ProcessEnv) =>
    visibleGpus(gpus, vendor, environment).map(({ index }) => index)

  it.each<[string, 'nvidia' | 'amd', NodeJS.ProcessEnv, number[]]>([
    ['all where its environment names none', 'nvidia', {}, [0, 1, 2, 3]],
    ['none where it names nothing', 'nvidia', { CUDA_VISIBLE_DEVICES: '' }, []],
    ['those named by index', 'nvidia', { CUDA_VISIBLE_DEVICES: '3,1' }, [3, 1]],
    ['those named by id', 'nvidia', { CUDA_VISIBLE_DEVICES: 'GPU-2' }, [2]],
    ['none that are parts of one', 'nvidia', { CUDA_VISIBLE_DEVICES: 'MIG-GPU-2/1/0' }, []],
    ['those that ROCr leaves', 'amd', { ROCR_VISIBLE_DEVICES: '2,3', CUDA_VISIBLE_DEVICES: '' }, [2, 3]],
    ['those that HIP takes of what ROCr leaves', 'amd', { ROCR_VISIBLE_DEVICES: '2,3', HIP_VISIBLE_DEVICES: '1' }, [3]],
    ['those of CUDA’s variable, which HIP reads too', 'amd', { CUDA_VISIBLE_DEVICES: '1' }, [1]],
  ])('are %s', (_, vendor, environment, indexes) => expect(seen(vendor, environment)).toEqual(indexes))
})
