/** What a text must be to be a value, and how that is said: `x must be <text>`. */
export interface Kind {
  fits(text: string): boolean
  text: string
}

const aNumber = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/

/** A number between both, both included; with `above`, greater than `low`. */
export const number = (low: number, high: number, { above = false } = {}): Kind => ({
  fits: (text) => aNumber.test(text) && Number(text) >= low && Number(text) <= high && !(above && Number(text) === low),
  text: `a number ${above ? 'above' : 'from'} ${low} ${above ? 'up ' : ''}to ${high}`,
})

/** A whole number between both, both included. */
export const integer = (low: number, high: number): Kind => ({
  fits: (text) => /^[+-]?\d+$/.test(text) && Number(text) >= low && Number(text) <= high,
  text: `a whole number from ${low} to ${high}`,
})

/** `true` or `false`. */
export const boolean: Kind = { fits: (text) => /^(?:true|false)$/i.test(text), text: 'true or false' }

/** One of these words, as they are written. */
export const oneOf = (...words: string[]): Kind => ({ fits: (text) => words.includes(text), text: `one of ${words.join(', ')}` })

/** Any text that is not empty. */
export const anyText: Kind = { fits: (text) => text.trim() !== '', text: 'a text that is not empty' }

/** At least one word; several are separated by commas. */
export const wordList: Kind = { fits: (text) => text.split(',').some((word) => word.trim() !== ''), text: 'words separated by commas' }

/** A file or folder under the data roots, whose path has been followed. */
export const path: Kind = { fits: (text) => text.startsWith('/'), text: 'a path under the data roots' }
