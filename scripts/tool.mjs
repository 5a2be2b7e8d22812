// Runs a checking tool of scripts/tools.txt; installs them first, when they are missing or the list has changed.
//
// Usage: node scripts/tool.mjs NAME [ARGUMENT…]
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { manifest, root } from './addon.mjs'

const list = path.join(root, 'scripts', 'tools.txt')
const home = path.join(root, 'node_modules', '.cache', manifest.name, 'tools')
const programs = path.join(home, process.platform === 'win32' ? 'Scripts' : 'bin')
/** A copy of the list that is installed. */
const installed = path.join(home, 'tools.txt')

function install() {
  const wanted = readFileSync(list, 'utf8')
  if (existsSync(installed) && readFileSync(installed, 'utf8') === wanted) return
  rmSync(home, { recursive: true, force: true })
  mkdirSync(home, { recursive: true })
  const python = ['python3', 'python'].find((name) => spawnSync(name, ['--version']).status === 0)
  if (python === undefined) throw new Error('The checking tools are installed by Python 3, and it was not found.')
  try {
    execFileSync(python, ['-m', 'venv', home], { stdio: 'inherit' })
  } catch {
    throw new Error('Python made no virtual environment; on Debian it needs the package python3-venv.')
  }
  const pip = ['-m', 'pip', '--disable-pip-version-check', 'install', '--quiet', '--only-binary', ':all:']
  execFileSync(path.join(programs, 'python'), [...pip, '--requirement', list], { stdio: 'inherit' })
  writeFileSync(installed, wanted)
}

const [name, ...args] = process.argv.slice(2)
try {
  install()
  const { status, error } = spawnSync(path.join(programs, name), args, { cwd: root, stdio: 'inherit' })
  if (error) throw error
  process.exitCode = status ?? 1
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
}
