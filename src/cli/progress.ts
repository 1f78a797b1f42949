/** Where a job stands, as far as it is known. */
export interface ProgressState {
  status: string
  step?: number
  totalSteps?: number
  loss?: number
  tokensPerSecond?: number
  /** Seconds left by the trainer's own estimate. */
  etaSeconds?: number
  /** What a job that does not run waits for. */
  waitsFor?: string
  /** Since when its trainer cannot be reached, as the API tells it; null: it can. */
  unreachableSince?: string | null
}

/** What a view writes to; process.stderr is one. */
export interface Screen {
  isTTY?: boolean
  columns?: number
  write(text: string): unknown
}

const redrawEveryMs = 100
const plainLines = 10

/**
 * Shows how far a job is: on a terminal a bar that is drawn over, elsewhere a line for each tenth of the way. Lines of text are written above
 * the bar.
 */
export class ProgressView {
  readonly #screen: Screen
  readonly #clock: () => number
  #state: ProgressState = { status: 'PENDING' }
  #drawnAt = 0
  #isDrawn = false
  #lastTenth = -1

  constructor(screen: Screen, clock: () => number = Date.now) {
    this.#screen = screen
    this.#clock = clock
  }

  /** Takes in what is new. */
  update(change: Partial<ProgressState>): void {
    const before = this.#state
    this.#state = { ...before, ...change }
    if (this.#screen.isTTY) this.#draw(before.status !== this.#state.status)
    else this.#drawPlain(before)
  }

  /** Writes a line of text, above the bar. */
  line(text: string, write: (text: string) => unknown = (line) => this.#screen.write(line)): void {
    this.#erase()
    write(`${text}\n`)
    if (this.#screen.isTTY) this.#draw(true)
  }

  /** Leaves the last state standing and ends the line. */
  end(): void {
    if (!this.#isDrawn) return
    this.#draw(true)
    this.#screen.write('\n')
    this.#isDrawn = false
  }

  #draw(isUrgent: boolean): void {
    const now = this.#clock()
    if (!isUrgent && now - this.#drawnAt < redrawEveryMs) return
    this.#drawnAt = now
    const text = describe(this.#state)
    const width = Math.min(30, Math.max(0, (this.#screen.columns ?? 80) - text.length - 4))
    const done = fraction(this.#state)
    const bar = done === undefined || width < 8 ? '' : `[${'#'.repeat(Math.round(done * width)).padEnd(width, '.')}] `
    this.#screen.write(`\r\u001b[2K${`${bar}${text}`.slice(0, (this.#screen.columns ?? 80) - 1)}`)
    this.#isDrawn = true
  }

  #drawPlain(before: ProgressState): void {
    const tenth = Math.floor((fraction(this.#state) ?? 0) * plainLines)
    // Checkpoints come and go; a bar may show them, a log need not.
    const isNews = this.#state.status !== before.status && ![this.#state.status, before.status].includes('CHECKPOINTING')
    const isAway = (this.#state.unreachableSince ?? null) !== (before.unreachableSince ?? null)
    if (!isNews && !isAway && (tenth <= this.#lastTenth || this.#state.loss === undefined)) return
    if (this.#state.loss !== undefined) this.#lastTenth = tenth
    this.#screen.write(`${describe(this.#state)}\n`)
  }

  #erase(): void {
    if (this.#isDrawn) this.#screen.write('\r\u001b[2K')
    this.#isDrawn = false
  }
}

function fraction({ step, totalSteps }: ProgressState): number | undefined {
  return step === undefined || !totalSteps ? undefined : Math.min(1, step / totalSteps)
}

const waiting = ['PENDING', 'QUEUED', 'PAUSED', 'PREEMPTED']

function describe({ status, step, totalSteps, loss, tokensPerSecond, etaSeconds, waitsFor, unreachableSince }: ProgressState): string {
  const parts = [status.toLowerCase()]
  if (unreachableSince) parts.push(`unreachable since ${unreachableSince}`)
  if (waitsFor && waiting.includes(status)) parts.push(waitsFor)
  if (step !== undefined) parts.push(`step ${step}${totalSteps ? `/${totalSteps}` : ''}`)
  if (loss !== undefined) parts.push(`loss ${loss.toFixed(3)}`)
  if (tokensPerSecond !== undefined) parts.push(`${Math.round(tokensPerSecond).toLocaleString('en')} tokens/s`)
  if (etaSeconds !== undefined && status === 'TRAINING') parts.push(`${duration(etaSeconds)} left`)
  return parts.join(' · ')
}

function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`
}
