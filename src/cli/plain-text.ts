// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
const escapes = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[PX^_][^\u001b]*(?:\u001b\\)?|[ -/]*[0-~]?)/g
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
const controls = /[\u0000-\u0008\u000a-\u001a\u001c-\u001f\u007f-\u009f]/g
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
const colour = /^\u001b\[[0-9;:]*m$/
const reset = '\u001b[0m'

/** A line of a job's output as it may be shown on a terminal: of all escapes and control characters only colours and tabs stay. */
export function plainText(line: string): string {
  let isColoured = false
  const text = line
    .replace(escapes, (sequence) => {
      if (!colour.test(sequence)) return ''
      isColoured = true
      return sequence
    })
    .replace(controls, '')
  return isColoured ? `${text}${reset}` : text
}
