import { createHash } from 'node:crypto'

/** A repository of a hub. */
export interface HubRepository {
  kind: 'models' | 'datasets'
  /** `org/name`, or one of the old names without an owner. */
  id: string
  /** A branch, a tag or a commit; '' for `main`. */
  revision: string
}

/**
 * What a hub says of its repositories. What was asked is kept for a minute. `environment` is the job's: its HF_TOKEN is used, and where it names a hub of its own
 * (HF_ENDPOINT) or asks none (HF_HUB_OFFLINE), none is asked, for where we connect to is not a tenant's to choose.
 */
export interface Hub {
  /** Its address; '' where there is none. */
  endpoint: string
  /**
   * The commit that a revision is now; null where the hub does not tell: it is away, has no such repository, or wants a token that the job does not bring. A
   * commit is its own answer.
   */
  commitOf(repository: HubRepository, environment: Record<string, string>): Promise<string | null>
  /** Whether the hub says that there is no such repository or revision, or none for this token. False where it does not tell. */
  isMissing(repository: HubRepository, environment: Record<string, string>): Promise<boolean>
}

interface HubOptions {
  /** The hub's address; '' for none. */
  endpoint: string
  /** How long it may take to answer. Default 3 s. */
  timeoutMs?: number
  clock: () => Date
}

const keptMs = 60_000
const keptMax = 1000
const isCommit = /^[0-9a-f]{40}$/
const isYes = /^(1|ON|YES|TRUE)$/i

/** Asks a hub by the API that huggingface.co has: `GET /api/models/ID/revision/REVISION` (https://huggingface.co/docs/hub/api). */
export function newHub({ endpoint, timeoutMs = 3000, clock }: HubOptions): Hub {
  const kept = new Map<string, { answer: Promise<Answer>; until: number }>()
  const base = endpoint.replace(/\/+$/, '')

  async function ask({ kind, id, revision }: HubRepository, token: string): Promise<Answer> {
    try {
      const response = await fetch(
        `${base}/api/${kind}/${id.split('/').map(encodeURIComponent).join('/')}/revision/${encodeURIComponent(revision || 'main')}`,
        {
          signal: AbortSignal.timeout(timeoutMs),
          headers: { accept: 'application/json', ...(token === '' ? {} : { authorization: `Bearer ${token}` }) },
        },
      )
      // Without a token it answers 401 for what is not there, too. A mirror without this API answers 404 for everything, and gives no code.
      const isMissing = response.status === 401 || missingCodes.includes(response.headers.get('x-error-code') ?? '')
      const { sha } = response.ok ? ((await response.json()) as { sha?: unknown }) : {}
      return { commit: typeof sha === 'string' && isCommit.test(sha) ? sha : null, isMissing }
    } catch {
      return unknown
    }
  }

  async function answerOf(repository: HubRepository, environment: Record<string, string>): Promise<Answer> {
    const { HF_ENDPOINT: own = '', HF_HUB_OFFLINE: offline = '', HF_TOKEN: token = '' } = environment
    const isOther = own !== '' && own.replace(/\/+$/, '') !== base
    if (base === '' || isOther || isYes.test(offline)) return unknown
    const { kind, id, revision } = repository
    const key = [kind, id, revision, createHash('sha256').update(token).digest('hex')].join('\n')
    const now = clock().getTime()
    const known = kept.get(key)
    if (known && known.until > now) return await known.answer
    kept.delete(key)
    for (const oldest of kept.keys()) {
      if (kept.size < keptMax) break
      kept.delete(oldest)
    }
    const answer = ask(repository, token)
    kept.set(key, { answer, until: now + keptMs })
    return await answer
  }

  return {
    endpoint: base,
    async commitOf(repository, environment) {
      if (isCommit.test(repository.revision)) return repository.revision
      return (await answerOf(repository, environment)).commit
    },
    isMissing: async (repository, environment) => (await answerOf(repository, environment)).isMissing,
  }
}

interface Answer {
  commit: string | null
  isMissing: boolean
}
const unknown: Answer = { commit: null, isMissing: false }
/** Of the header `X-Error-Code`, as huggingface_hub reads it. */
const missingCodes = ['RepoNotFound', 'RevisionNotFound']
