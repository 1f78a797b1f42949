const secrets: readonly [RegExp, string][] = [
  [/sgk_[A-Za-z0-9_-]{16,}/g, 'sgk_***'],
  // A token of three parts, whoever signed it.
  [/eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?/g, '***'],
  [/\b(Bearer|Basic)(\s+)[^\s"'\\]+/gi, '$1$2***'],
  [
    /("(?:authorization|x-api-secret|x-scaidrive-token|x-scaiatlas-token|client_secret|subject_token|access_token)":)("(?:[^"\\]|\\.)*"|\[[^\]]*\])/gi,
    '$1"***"',
  ],
]

/** A line of a log without what signs somebody in: keys, tokens, and the headers that carry them. Logs are written through it, so that no error that is logged whole tells one. */
export function withoutSecrets(line: string): string {
  return secrets.reduce((text, [pattern, shown]) => text.replace(pattern, shown), line)
}
