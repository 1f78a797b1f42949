import { defineConfig } from 'prisma/config'

// For Prisma's own commands (`npx prisma … --config prisma.api.config.ts`); the programs read src/config.ts.
export default defineConfig({
  schema: 'prisma/api/schema.prisma',
  migrations: { path: 'prisma/api/migrations' },
  datasource: { url: process.env.DATABASE_URL ?? '' },
})
