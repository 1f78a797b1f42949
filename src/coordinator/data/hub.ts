import { createHash } from 'node:crypto'

/** A repository of a hub. */
export interface HubRepository {
  kind: 'models' | 'datasets'
  /** `org/name`, or one of the old names without an owner. */
  id: string
  /** A branch, a tag or a commit; '' for `main`. */
  revision: string
}

/** What a hub says of its repositories. */
export interface Hub {
  /**
   * The commit that a revision is now; null where the hub does not tell: it is away, has no such repository, or wants a token that the job does not bring. A
   * commit is its own answer. What was asked is kept for a minute. `environment` is the job's: its HF_TOKEN is used, and where it names a hub of its own
   * (HF_ENDPOINT) or asks none (HF_HUB_OFFLINE), none is asked, for where we connect to is not a tenant's to choose.
   */
  commitOf(repository: HubRepository, environment: Record<string, string>): Promise<string | null>
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
  const kept = new Map<string, { commit: Promise<string | null>; until: number }>()
  const base = endpoint.replace(/\/+$/, '')

  async function ask({ kind, id, revision }: HubRepository, token: string): Promise<string | null> {
    try {
      const response = await fetch(
        `${base}/api/${kind}/${id.split('/').map(encodeURIComponent).join('/')}/revision/${encodeURIComponent(revision || 'main')}`,
        {
          signal: AbortSignal.timeout(timeoutMs),
          headers: { accept: 'application/json', ...(token === '' ? {} : { authorization: `Bearer ${token}` }) },
        },
      )
      const { sha } = response.ok ? ((await response.json()) as { sha?: unknown }) : {}
      return typeof sha === 'string' && isCommit.test(sha) ? sha : null
    } catch {
      return null
    }
  }

  return {
    async commitOf(repository, environment) {
      if (isCommit.test(repository.revision)) return repository.revision
      const { HF_ENDPOINT: own = '', HF_HUB_OFFLINE: offline = '', HF_TOKEN: token = '' } = environment
      const isOther = own !== '' && own.replace(/\/+$/, '') !== base
      if (base === '' || isOther || isYes.test(offline)) return null
      const { kind, id, revision } = repository
      const key = [kind, id, revision, createHash('sha256').update(token).digest('hex')].join('\n')
      const now = clock().getTime()
      const known = kept.get(key)
      if (known && known.until > now) return known.commit
      kept.delete(key)
      for (const oldest of kept.keys()) {
        if (kept.size < keptMax) break
        kept.delete(oldest)
      }
      const commit = ask(repository, token)
      kept.set(key, { commit, until: now + keptMs })
      return commit
    },
  }
}
