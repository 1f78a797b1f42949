#!/usr/bin/env node
import('../dist/cli/main.js').catch((error) => {
  console.error(
    error.code === 'ERR_MODULE_NOT_FOUND' && error.message.includes('dist/cli/main.js')
      ? 'ScaiMind is not built yet: run `npm run setup`.'
      : error,
  )
  process.exitCode = 1
})
