import { access, constants, stat } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'

/** The path of an executable file, given by path or looked for by name in folders; null where there is none. */
export async function findProgram(name: string, searchPath: string[]): Promise<string | null> {
  const places = isAbsolute(name) ? [name] : searchPath.map((folder) => join(folder, name))
  for (const place of places) if ((await isFile(place)) && (await isExecutable(place))) return place
  return null
}

/** Whether the path leads to a file. */
export const isFile = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isFile(),
    () => false,
  )

/** Whether this process may run it. */
export const isExecutable = (path: string): Promise<boolean> => mayBe(path, constants.X_OK)

/** Whether this process may read it. */
export const isReadable = (path: string): Promise<boolean> => mayBe(path, constants.R_OK)

const mayBe = (path: string, mode: number): Promise<boolean> =>
  access(path, mode).then(
    () => true,
    () => false,
  )
