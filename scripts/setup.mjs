// Everything between a clean clone and a program that runs. It uses nothing but Node, and does only what is not done yet.
import { build } from './setup/build.mjs'
import { installDependencies } from './setup/dependencies.mjs'
import { generate } from './setup/generate.mjs'
import { provideMariadb } from './setup/mariadb.mjs'
import { checkNode } from './setup/node.mjs'
import { main } from './setup/steps.mjs'

await main(async () => {
  checkNode()
  await installDependencies()
  await generate()
  await build()
  await provideMariadb()
})
