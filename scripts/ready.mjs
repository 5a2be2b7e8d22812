// Everything that must hold before a change goes in: `npm run ready`. Goes on after a failure and sums up at the end.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { root } from './addon.mjs'

const windows = process.platform === 'win32'

const steps = [
  ['tests', () => npm('test')],
  ['format and lints', () => npm('run', 'lint')],
  ['lock file', lockFile],
  ['dependencies: licences, bans, sources, unused', () => npm('run', 'check:dependencies')],
  ['third-party notices', () => npm('run', 'check:notices')],
  ['spelling', () => npm('run', 'check:spelling')],
  [
    'packed tarballs: publint, attw, size, installation and workers under Node.js 18, 22, 24 and this one',
    packedTarballs,
  ],
  ['demo server', () => run(process.execPath, 'scripts/check-demo.mjs')],
]

function run(command, ...args) {
  execFileSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
}

function npm(...args) {
  execFileSync('npm', args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], shell: windows })
}

function lockFile() {
  if (readFileSync(path.join(root, 'package-lock.json'), 'utf8').includes('"resolved"')) {
    throw new Error('package-lock.json names where packages come from; .npmrc has npm leave that out')
  }
  npm('ci', '--dry-run', '--ignore-scripts')
}

/** Node.js versions that the package runs on, besides the one that runs this. The test tools do not run on the oldest. */
const otherNodes = [18, 22, 24]

function packedTarballs() {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'nodes-'))
  const name = `node-${windows ? 'win' : process.platform}-${process.arch}`
  const install = (version) => {
    const prefix = path.join(dir, String(version))
    npm('install', '--prefix', prefix, `${name}@${version}`)
    return path.join(prefix, 'node_modules', name, 'bin', windows ? 'node.exe' : 'node')
  }
  try {
    npm('run', 'check:package', '--', ...otherNodes.map(install))
  } finally {
    rmSync(dir, { recursive: true })
  }
}

const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`

const failed = []
for (const [name, step] of steps) {
  console.log(`\n── ${name}`)
  const start = performance.now()
  try {
    step()
    console.log(`── passed in ${seconds(start)}`)
  } catch (error) {
    failed.push(name)
    console.log(`── FAILED after ${seconds(start)}: ${error.message}`)
  }
}

for (const name of failed) console.log(`\nFAILED: ${name}`)
console.log(`\n${steps.length - failed.length} passed, ${failed.length} failed`)
process.exitCode = failed.length > 0 ? 1 : 0
