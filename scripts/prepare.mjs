// Builds the native addon when it is missing or older than its sources. npm runs this on `npm install` in a clone and
// before `npm pack`; never for an installed package.
import { fillPlatformPackage, reasonToBuild } from './addon.mjs'
import { build } from './build.mjs'

const packing = ['pack', 'publish'].includes(process.env.npm_command)
const reason = reasonToBuild({ release: packing })

try {
  if (reason) {
    console.log(`Building the native addon: ${reason}. The first build takes some minutes.`)
    build()
  } else {
    fillPlatformPackage()
  }
} catch (error) {
  console.error(`\n${error.message}\n`)
  process.exitCode = 1
}
