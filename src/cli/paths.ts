import { fileURLToPath } from 'node:url'

/** A path inside this package, the same from `src` and from `dist`. */
export function packagePath(path: string): string {
  return fileURLToPath(new URL(`../../${path}`, import.meta.url))
}

/** The program itself, as it is spawned. */
export const mainProgram = packagePath('dist/cli/main.js')

/** The folders of migrations. */
export const migrationsOf = { api: packagePath('prisma/api/migrations'), coordinator: packagePath('prisma/coordinator/migrations') }
