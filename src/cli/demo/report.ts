import { plainText } from '../plain-text.js'
import type { StackAddress } from '../up/stack.js'
import type { OutcomeAnswer } from './queries.js'

type FinalEvaluation = NonNullable<OutcomeAnswer['job']['finalEvaluation']>

/** Base and tuned model side by side on records that training did not see, a sample of both, and where the adapter is. */
export function describeResult({ base, tuned, samples }: FinalEvaluation, adapter: string): string {
  const change = (tuned.perplexity / base.perplexity - 1) * 100
  const sample = samples[0]
  const shown = sample
    ? `
Both go on from ${JSON.stringify(sample.prompt)}:
  base   ${oneLine(sample.base)}
  tuned  ${oneLine(sample.tuned)}
`
    : ''
  return `
On held-out data      base     tuned
  loss          ${cell(base.loss, 4)} ${cell(tuned.loss, 4)}
  perplexity    ${cell(base.perplexity, 3)} ${cell(tuned.perplexity, 3)}   (${change > 0 ? '+' : ''}${change.toFixed(1)} %)
${shown}
The adapter is in ${adapter}
`
}

/** Where to go on from here. */
export function describeServer({ graphql, rest, api_key: key }: StackAddress): string {
  return `
GraphiQL  ${graphql}#key=${key}
REST      ${rest}
API key   ${key}

`
}

function cell(value: number, digits: number): string {
  return value.toFixed(digits).padStart(9)
}

function oneLine(text: string): string {
  return plainText(text.replace(/\s+/g, ' ')).slice(0, 160)
}
