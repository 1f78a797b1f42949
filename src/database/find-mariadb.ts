import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** The two programs of a MariaDB that are needed to run one of our own. */
export interface MariadbPrograms {
  /** The server. */
  server: string
  /** What fills a new data folder. */
  install: string
}

// Distributions keep servers in sbin, which an ordinary user's PATH lacks; Homebrew keeps versions that are not linked under opt.
const usualFolders = [
  '/usr/sbin',
  '/usr/bin',
  '/usr/local/sbin',
  '/usr/local/bin',
  '/usr/libexec',
  '/opt/homebrew/bin',
  '/opt/homebrew/opt/mariadb/bin',
  '/usr/local/opt/mariadb/bin',
  '/home/linuxbrew/.linuxbrew/bin',
]

/** Looks for MariaDB on PATH and in the usual folders. Undefined where there is none. */
export function findMariadb(): MariadbPrograms | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== ''), ...usualFolders]
  const server = find(folders, 'mariadbd')
  const install = find(folders, 'mariadb-install-db')
  return server !== undefined && install !== undefined ? { server, install } : undefined
}

function find(folders: string[], name: string): string | undefined {
  return folders.map((folder) => join(folder, name)).find(isProgram)
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}
