import { execFile } from 'node:child_process'
import { access, constants } from 'node:fs/promises'
import { join } from 'node:path'

/** What a GPU says of itself. Null where it cannot tell. */
export interface GpuReading {
  /** As its program counts, from 0. */
  index: number
  /** `GPU-…`; empty where it was not told. */
  uuid: string
  /** The product's name. */
  name: string
  memoryBytes: number | null
  memoryUsedBytes: number | null
  /** Fraction of time that it was busy, 0 to 1. */
  utilization: number | null
  powerWatts: number | null
  /** Degrees Celsius. */
  temperatureCelsius: number | null
}

/** The program of a GPU vendor that tells of a machine's GPUs. */
export interface GpuProgram {
  vendor: 'nvidia' | 'amd'
  /** Its file. */
  path: string
}

/** What is asked of each program. The newest columns of nvidia-smi come last, so that an answer which ends before them can still be read. */
const programs = [
  {
    vendor: 'nvidia',
    name: 'nvidia-smi',
    words: [
      '--query-gpu=index,name,memory.total,memory.used,utilization.gpu,power.draw,temperature.gpu,uuid',
      '--format=csv,noheader,nounits',
    ],
    parse: parseNvidiaSmi,
  },
  {
    vendor: 'amd',
    name: 'rocm-smi',
    words: ['--showproductname', '--showuniqueid', '--showuse', '--showmeminfo', 'vram', '--showpower', '--showtemp', '--json'],
    parse: parseRocmSmi,
  },
] as const

/** Where ROCm is installed, which seldom puts it on the PATH. */
const rocmFolder = '/opt/rocm/bin'
const timeoutMs = 10_000

/** The program that tells of this machine's GPUs, the first found in a PATH, nvidia-smi before rocm-smi; null where there is neither. */
export async function findGpuProgram(searchPath: string): Promise<GpuProgram | null> {
  const folders = [...searchPath.split(':').filter(Boolean), rocmFolder]
  for (const { vendor, name } of programs) {
    for (const folder of folders) {
      const path = join(folder, name)
      const isThere = await access(path, constants.X_OK).then(
        () => true,
        () => false,
      )
      if (isThere) return { vendor, path }
    }
  }
  return null
}

/** Asks a program, at the lowest priority. Rejects where it fails, takes longer than 10 s, or the signal aborts: it is killed then. */
export function readGpus({ vendor, path }: GpuProgram, signal?: AbortSignal): Promise<GpuReading[]> {
  const { words, parse } = vendor === 'nvidia' ? programs[0] : programs[1]
  return new Promise((resolve, reject) => {
    const options = { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 4 * 2 ** 20, ...(signal ? { signal } : {}) } as const
    execFile('nice', ['-n', '19', path, ...words], options, (error, stdout) => (error ? reject(error) : resolve(parse(stdout))))
  })
}

/** Reads the answer of nvidia-smi: a line a GPU, memory in MiB, utilization in percent, `[N/A]` for what it cannot tell. */
export function parseNvidiaSmi(csv: string): GpuReading[] {
  return csv.split('\n').flatMap((line) => {
    const [index = '', name = '', total, used, utilization, power, temperature, uuid = ''] = line.split(',').map((cell) => cell.trim())
    if (!/^\d+$/.test(index) || name === '') return []
    return {
      index: Number(index),
      uuid,
      name,
      memoryBytes: bytesOf(toNumber(total)),
      memoryUsedBytes: bytesOf(toNumber(used)),
      utilization: fraction(toNumber(utilization)),
      powerWatts: toNumber(power),
      temperatureCelsius: toNumber(temperature),
    }
  })
}

/**
 * Reads the answer of `rocm-smi --json`, as ROCm 6.3 writes it (rocm_smi.py of rocm_smi_lib): an object a `card<N>`, all values texts, memory in bytes, utilization in
 * percent. The power is an average or the current one, by the generation; the second die of an MI250 has none. An MI300 has no sensor at the edge. ROCm 5 wrote `Card series`.
 */
export function parseRocmSmi(json: string): GpuReading[] {
  // Warnings may stand before it.
  const cards = parseObject(json.slice(json.indexOf('{')))
  return Object.entries(cards).flatMap(([card, fields]) => {
    const index = /^card(\d+)$/.exec(card)?.[1]
    if (index === undefined || typeof fields !== 'object' || fields === null) return []
    const field = (...names: string[]) => {
      const values = fields as Record<string, unknown>
      const found = names.map((name) => String(values[name] ?? '').trim())
      return found.find((text) => text !== '' && !text.startsWith('N/A')) ?? ''
    }
    const uniqueId = field('Unique ID').replace(/^0x/, '')
    return {
      index: Number(index),
      uuid: uniqueId === '' ? '' : `GPU-${uniqueId}`,
      name: field('Card Series', 'Card series', 'Card Model', 'Card model') || 'AMD',
      memoryBytes: toNumber(field('VRAM Total Memory (B)')),
      memoryUsedBytes: toNumber(field('VRAM Total Used Memory (B)')),
      utilization: fraction(toNumber(field('GPU use (%)'))),
      powerWatts: toNumber(field('Current Socket Graphics Package Power (W)', 'Average Graphics Package Power (W)')),
      temperatureCelsius: toNumber(field('Temperature (Sensor edge) (C)', 'Temperature (Sensor junction) (C)')),
    }
  })
}

function parseObject(json: string): Record<string, unknown> {
  try {
    return JSON.parse(json) as Record<string, unknown>
  } catch {
    return {}
  }
}

function toNumber(text: string | undefined): number | null {
  return text !== undefined && /^\d+(\.\d+)?$/.test(text) ? Number(text) : null
}

const fraction = (percent: number | null): number | null => (percent === null ? null : percent / 100)
const bytesOf = (mebibytes: number | null): number | null => (mebibytes === null ? null : mebibytes * 2 ** 20)
