import { resolve } from 'node:path'
import { parseArgs } from 'node:util'

/** What a launcher is told by its command line: `FOLDER [--rank R] [--nodes N] [--inherit NAME]... [--with WORD...]`. */
export interface LauncherArguments {
  /** The attempt's folder, absolute. */
  directory: string
  /** Which of the attempt's launchers this is, from 0. Default 0. */
  rank: number
  /** How many launchers the attempt has, one a node. Default 1. */
  nodes: number
  /** Variables of the launcher's own environment that the trainer gets too; a `*` at the end stands for any ending. Default none. */
  inherit: string[]
  /** The starter's words, put before the command. Default none. */
  starter: string[]
}

/** Reads the words after `node main.js`. Throws where one is missing, unknown or not a number. */
export function readArguments(words: string[]): LauncherArguments {
  const end = words.includes('--with') ? words.indexOf('--with') : words.length
  const { values, positionals } = parseArgs({
    args: words.slice(0, end),
    allowPositionals: true,
    options: {
      rank: { type: 'string', default: '0' },
      nodes: { type: 'string', default: '1' },
      inherit: { type: 'string', multiple: true, default: [] },
    },
  })
  const [directory] = positionals
  if (!directory || positionals.length > 1) throw new Error("give the attempt's folder, and no other")
  const nodes = Number(values.nodes)
  const rank = Number(values.rank)
  if (!Number.isSafeInteger(nodes) || nodes < 1) throw new Error(`--nodes must be a number from 1, not ${values.nodes}`)
  if (!Number.isSafeInteger(rank) || rank < 0 || rank >= nodes) throw new Error(`--rank must be 0 to ${nodes - 1}, not ${values.rank}`)
  return { directory: resolve(directory), rank, nodes, inherit: values.inherit, starter: words.slice(end + 1) }
}

/** The variables of an environment that are named; a `*` at the end of a name stands for any ending. */
export function inheritedVariables(names: string[], environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const isNamed = (variable: string) =>
    names.some((name) => (name.endsWith('*') ? variable.startsWith(name.slice(0, -1)) : variable === name))
  return Object.fromEntries(Object.entries(environment).filter(([variable]) => isNamed(variable)))
}
