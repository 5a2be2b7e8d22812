// Builds the native addon: `npm run build`, or `npm run build:debug` (quicker to build, slower to run).
import { spawnSync } from 'node:child_process'
import { realpathSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { fillPlatformPackage, markBuild, root } from './addon.mjs'

/** Throws an `Error` whose message says what to do. */
export function build({ debug = false } = {}) {
  if (spawnSync('cargo', ['--version'], { cwd: root }).status !== 0) {
    throw new Error(
      'Building ai-gateway-native from its sources needs Rust, and `cargo` was not found.\n' +
        'Install Rust (https://rustup.rs; the version is in Cargo.toml) and run this again.\n' +
        'To install without building: npm install --ignore-scripts',
    )
  }
  const args = ['build', '--platform', '--js', 'native.js', '--dts', 'native.d.ts']
  if (!debug) args.push('--release')
  // A failed build must not leave an addon that looks like a release.
  if (debug) markBuild({ debug })
  const { status } = spawnSync(process.execPath, [napiCli(), ...args], { cwd: root, stdio: 'inherit' })
  if (status !== 0) throw new Error('Building the native addon failed; see the messages above.')
  generateProtocol()
  markBuild({ debug })
  fillPlatformPackage()
}

// In a process of its own: this one may have loaded an addon that was there before.
function generateProtocol() {
  const script = path.join(root, 'scripts', 'generate-protocol.mjs')
  const { status } = spawnSync(process.execPath, [script], { cwd: root, stdio: 'inherit' })
  if (status !== 0) throw new Error('lib/protocol.js could not be generated; see the messages above.')
}

function napiCli() {
  const require = createRequire(import.meta.url)
  try {
    const manifest = require.resolve('@napi-rs/cli/package.json')
    return path.join(path.dirname(manifest), require(manifest).bin.napi)
  } catch {
    throw new Error('Building needs the development dependencies: run `npm install --include=dev`.')
  }
}

if (fileURLToPath(import.meta.url) === realpathSync(process.argv[1])) {
  try {
    build({ debug: process.argv.includes('--debug') })
  } catch (error) {
    console.error(error.message)
    process.exitCode = 1
  }
}
