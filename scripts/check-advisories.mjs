// Checks all crates against the advisories of RustSec, and whether one was yanked. Needs the network: the database is
// fetched by git, so that this is part of a release and not of `npm run ready`.
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { root } from './addon.mjs'

const args = [path.join('scripts', 'tool.mjs'), 'cargo-deny', 'check', '--hide-inclusion-graph', 'advisories']
const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' })
if (status !== 0) {
  console.error('\nIf the database of advisories was not fetched: this check needs the network, git and access to it.')
  process.exitCode = 1
}
