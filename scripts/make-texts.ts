/**
 * Makes the texts that ScaiMind ships, from two Debian packages whose texts are in the public domain:
 *
 *     apt-get install --no-install-recommends bible-kjv dict-devil
 *     node --import tsx scripts/make-texts.ts
 *
 * - models/byte-tiny/corpus.txt.gz: what the base model is trained on, documents divided by a line that holds a form feed: the
 *   chapters of the King James Bible;
 * - examples/data/devils-dictionary.jsonl: what the demo tunes it on, Ambrose Bierce's The Devil's Dictionary, an entry a record;
 * - examples/data/short-answers.jsonl: preferences over the same entries, the first sentence alone before the whole of it.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { gunzipSync, gzipSync } from 'node:zlib'

/** Entries with these words are left out: what the book says of peoples is not for an example. */
const LEFT_OUT = /\b(?:nigger|negro|jews?|jewish|savages?|aborigin\w*|retarded)\b/i

const dictionaries = '/usr/share/dictd'
const atRoot = (path: string) => new URL(`../${path}`, import.meta.url)

const documents = bibleChapters()
writeFileSync(atRoot('models/byte-tiny/corpus.txt.gz'), gzipSync(documents.join('\n\f\n'), { level: 9 }))
const records = devilsDictionary()
writeFileSync(atRoot('examples/data/devils-dictionary.jsonl'), `${records.map((record) => JSON.stringify(record)).join('\n')}\n`)
const pairs = shortAnswers()
writeFileSync(atRoot('examples/data/short-answers.jsonl'), `${pairs.map((pair) => JSON.stringify(pair)).join('\n')}\n`)
console.log(
  `${documents.length} documents of ${documents.join('').length} characters; ${records.length} dictionary records, ${pairs.length} pairs of answers`,
)

function bibleChapters(): string[] {
  const chapters = new Map<string, string[]>()
  for (const line of execFileSync('bible', ['-f', 'gen1:1-rev22:21'], { encoding: 'utf8', maxBuffer: 1 << 26 }).split('\n')) {
    const found = /^(\d?[A-Za-z]+)(\d+):\d+ (.*)$/.exec(line)
    if (!found) continue
    const chapter = `${found[1]} ${found[2]}`
    chapters.set(chapter, [...(chapters.get(chapter) ?? []), (found[3] ?? '').trim()])
  }
  return [...chapters.values()].map((verses) => verses.join('\n'))
}

/** Headword and part of speech as the prompt, the first paragraph of prose, or as many whole sentences of it as fit, as the completion. */
function devilsDictionary(): { prompt: string; completion: string }[] {
  const bytesMax = 190
  const text = gunzipSync(readFileSync(`${dictionaries}/devil.dict.dz`)).toString('latin1')
  const found: { prompt: string; completion: string }[] = []
  for (const entry of text.split(/\n(?=[A-Z][A-Z' -]+, (?:n|v|adj|adv|pp|p)[a-z.]*\.)/).slice(1)) {
    const paragraph = (entry.split(/\n\s*\n/)[0] ?? '').replaceAll(/\s+/g, ' ').replaceAll('_', '').trim()
    const parts = /^([A-Z][A-Z' -]+, [a-z.]+\.) (.+)$/.exec(paragraph)
    if (!parts || LEFT_OUT.test(paragraph) || !/^[\x20-\x7e]*$/.test(paragraph)) continue
    const [, prompt = '', prose = ''] = parts
    let completion = ''
    for (const sentence of prose.split(/(?<=[.!?]) (?=[A-Z"'])/)) {
      const longer = completion ? `${completion} ${sentence}` : sentence
      if (prompt.length + longer.length > bytesMax) break
      completion = longer
    }
    if (completion.length >= 15) found.push({ prompt, completion })
  }
  return found
}

/** Of each entry that has several sentences, the first is preferred to all of them. */
function shortAnswers(): { prompt: string; chosen: string; rejected: string }[] {
  return records.flatMap(({ prompt, completion }) => {
    const chosen = /^.{20,}?[.!?](?= [A-Z])/.exec(completion)?.[0]
    return chosen ? [{ prompt, chosen, rejected: completion }] : []
  })
}
