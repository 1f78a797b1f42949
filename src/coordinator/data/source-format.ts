import { extname } from 'node:path'

/** The formats of data: the embedded trainer, and what checks data here, reads the first two; the trainer for real models reads all. */
export const sourceFormats = ['jsonl', 'txt', 'json', 'csv', 'tsv', 'parquet'] as const
export type SourceFormat = (typeof sourceFormats)[number]

const spellings: Record<string, SourceFormat> = { ndjson: 'jsonl', json_lines: 'jsonl', text: 'txt' }

/** The format of a source, given or told by its file's name; null where neither says one that is known. */
export function formatOfSource({ path, format }: { path: string; format: string }): SourceFormat | null {
  const named = (format || extname(path).slice(1)).toLowerCase()
  return spellings[named] ?? sourceFormats.find((candidate) => candidate === named) ?? null
}
