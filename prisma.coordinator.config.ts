import { defineConfig } from 'prisma/config'

// For Prisma's own commands (`npx prisma … --config prisma.coordinator.config.ts`); the programs read src/config.ts.
export default defineConfig({
  schema: 'prisma/coordinator/schema.prisma',
  migrations: { path: 'prisma/coordinator/migrations' },
  datasource: { url: process.env.COORDINATOR_DATABASE_URL ?? '' },
})
