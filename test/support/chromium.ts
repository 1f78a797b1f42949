import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { Readable, Writable } from 'node:stream'

/** A page of a real browser. */
export interface Page {
  /** Runs a script in the page. What the page hands to `tell(text)` from now on is told here. */
  run(script: string, told: (text: string) => void): Promise<void>
}

/** A Chromium without a window. */
export interface Browser {
  /** Opens an address and waits until it has loaded. */
  open(url: string): Promise<Page>
  close(): Promise<void>
}

/** Starts Chromium, installed first where that may be done. It is spoken to in the Chrome DevTools Protocol, over a pipe that ends with us. */
export async function startChromium(): Promise<Browser> {
  const program = provideChromium()
  const profile = mkdtempSync(join(tmpdir(), 'chromium-'))
  const options = ['--headless', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--no-proxy-server']
  // Chromium's sandbox refuses to be started by root; the only pages are ours.
  if (process.getuid?.() === 0) options.push('--no-sandbox')
  const child = spawn(program, [...options, `--user-data-dir=${profile}`, '--remote-debugging-pipe'], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'],
  })
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const devtools = speakDevtools(child)
  await devtools.call('Browser.getVersion')

  return {
    async open(url) {
      const { targetId } = await devtools.call('Target.createTarget', { url: 'about:blank' })
      const { sessionId } = await devtools.call('Target.attachToTarget', { targetId, flatten: true })
      const call = (method: string, parameters: object = {}) => devtools.call(method, parameters, sessionId as string)
      await call('Page.enable')
      await call('Runtime.enable')
      await call('Runtime.addBinding', { name: 'tell' })
      const loaded = new Promise((resolve) => devtools.on('Page.loadEventFired', sessionId as string, resolve))
      await call('Page.navigate', { url })
      await loaded
      return {
        async run(script, told) {
          devtools.on('Runtime.bindingCalled', sessionId as string, ({ payload }) => told(payload as string))
          // In a block, so that the next script may use the same names.
          const { exceptionDetails } = await call('Runtime.evaluate', { expression: `{ ${script} }` })
          if (exceptionDetails) throw new Error(`The page's script failed: ${JSON.stringify(exceptionDetails)}`)
        },
      }
    },
    async close() {
      await devtools.call('Browser.close').catch(() => child.kill('SIGKILL'))
      await gone
      rmSync(profile, { recursive: true, force: true })
    },
  }
}

type Fields = Record<string, unknown>
interface DevtoolsMessage {
  id?: number
  result?: Fields
  error?: { message: string }
  method?: string
  params?: Fields
  sessionId?: string
}

/** The protocol: a JSON object a message, each ended by a zero byte. https://chromedevtools.github.io/devtools-protocol/ */
function speakDevtools(child: ChildProcess) {
  const [, , stderr, input, output] = child.stdio as unknown as [null, null, Readable, Writable, Readable]
  const calls = new Map<number, { resolve(result: Fields): void; reject(error: Error): void }>()
  const listeners = new Map<string, (parameters: Fields) => void>()
  let lastId = 0
  let said = ''
  let rest = ''

  stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-2000)
  })
  let ended: Error | undefined
  const end = (how: string) => {
    ended ??= new Error(`Chromium ${how}\n${said}`)
    for (const { reject } of calls.values()) reject(ended)
  }
  child.once('error', ({ message }) => end(`could not be started: ${message}`))
  child.once('close', (code) => end(`ended with ${code}.`))
  // It ended: what waits for an answer is told so above.
  input.on('error', () => {})
  output.setEncoding('utf8').on('data', (text: string) => {
    const messages = (rest + text).split('\0')
    rest = messages.pop() ?? ''
    for (const message of messages) hear(JSON.parse(message))
  })

  function hear({ id, result = {}, error, method, params = {}, sessionId }: DevtoolsMessage): void {
    const call = calls.get(id ?? 0)
    if (id === undefined || !call) {
      listeners.get(`${sessionId} ${method}`)?.(params)
      return
    }
    calls.delete(id)
    if (error) call.reject(new Error(error.message))
    else call.resolve(result)
  }

  return {
    call: (method: string, params: object = {}, sessionId?: string) =>
      new Promise<Fields>((resolve, reject) => {
        if (ended) return reject(ended)
        const id = ++lastId
        calls.set(id, { resolve, reject })
        input.write(`${JSON.stringify({ id, method, params, sessionId })}\0`)
      }),
    /** Takes the place of the listener before. */
    on(method: string, sessionId: string, listener: (parameters: Fields) => void) {
      listeners.set(`${sessionId} ${method}`, listener)
    },
  }
}

const names = ['chromium', 'chromium-browser', 'google-chrome']
const installation = 'apt-get install --no-install-recommends chromium'

/** The path of a Chromium: $CHROMIUM, one on the PATH, or Debian's package, installed where that may be done. */
function provideChromium(): string {
  const found = process.env.CHROMIUM || findChromium()
  if (found) return found
  const isInstallable = process.platform === 'linux' && process.getuid?.() === 0
  const problem = isInstallable ? installChromium() : 'it is not installed'
  const installed = findChromium()
  if (!installed) {
    throw new Error(
      `The tests of the browser need Chromium, and ${problem}. Install it (\`sudo ${installation}\`), or name another with CHROMIUM=/path/to/chrome.`,
    )
  }
  return installed
}

function findChromium(): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter)
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find(isProgram)
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Says what went wrong, if it did. */
function installChromium(): string {
  process.stderr.write(`- Installing Chromium for the tests (${installation})\n`)
  const options = {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  } as const
  // One source of packages that is broken must not stop the others: the installation says what is really missing.
  spawnSync('apt-get', ['update', '-q'], options)
  const [program = '', ...words] = installation.split(' ')
  const { status, stderr, error } = spawnSync(program, [...words, '-y', '-q'], options)
  if (error) return `apt-get could not be started: ${error.message}`
  return status === 0 ? 'its package holds no program of that name' : `\`${installation}\` failed: ${stderr.trim().slice(-1000)}`
}
