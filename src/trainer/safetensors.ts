/** The safetensors format: eight bytes of header length, a JSON header, then the raw little-endian numbers. */

/** A named array of float32 numbers in row-major order. */
export interface NamedTensor {
  shape: number[]
  data: Float32Array<ArrayBuffer>
}

/** Tensors by name, in the order in which they are written. */
export type TensorMap = Map<string, NamedTensor>

/** The bytes of a safetensors file that holds `tensors` as F32. The same tensors give the same bytes. */
export function writeSafetensors(tensors: TensorMap, metadata: Record<string, string> = {}): Buffer {
  const header: Record<string, unknown> = { __metadata__: metadata }
  let offset = 0
  for (const [name, { shape, data }] of tensors) {
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + data.byteLength] }
    offset += data.byteLength
  }
  const json = JSON.stringify(header)
  // The numbers must start at a multiple of eight bytes, which the format allows to be filled with spaces.
  const text = Buffer.from(json + ' '.repeat((8 - (Buffer.byteLength(json) % 8)) % 8))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  return Buffer.concat([
    length,
    text,
    ...[...tensors.values()].map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength)),
  ])
}

/** Reads a safetensors file of F32 tensors. Throws an Error that says what is wrong with the bytes. */
export function readSafetensors(bytes: Buffer): TensorMap {
  if (bytes.length < 8) throw new Error('it is shorter than a safetensors header')
  const headerEnd = 8 + Number(bytes.readBigUInt64LE(0))
  if (headerEnd > bytes.length) throw new Error('it ends inside its header')
  const header = JSON.parse(bytes.toString('utf8', 8, headerEnd)) as Record<string, HeaderEntry>
  const tensors: TensorMap = new Map()
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue
    if (entry.dtype !== 'F32') throw new Error(`tensor ${name} is ${entry.dtype}; only F32 is read`)
    const [start, end] = entry.data_offsets
    if (headerEnd + end > bytes.length) throw new Error(`it ends inside tensor ${name}`)
    const size = entry.shape.reduce((product, length) => product * length, 1)
    if (end - start !== size * 4) throw new Error(`tensor ${name} has ${end - start} bytes for ${size} numbers`)
    const copy = new Uint8Array(end - start)
    copy.set(bytes.subarray(headerEnd + start, headerEnd + end))
    tensors.set(name, { shape: entry.shape, data: new Float32Array(copy.buffer) })
  }
  return tensors
}

interface HeaderEntry {
  dtype: string
  shape: number[]
  data_offsets: [number, number]
}
