import { build } from './setup/build.mjs'
import { installDependencies } from './setup/dependencies.mjs'
import { generate } from './setup/generate.mjs'
import { checkNode } from './setup/node.mjs'
import { main } from './setup/steps.mjs'

await main(async () => {
  checkNode()
  await installDependencies()
  await generate()
  await build()
})
