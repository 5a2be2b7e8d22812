// What is said where the native addon cannot be loaded.
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'

const require = createRequire(import.meta.url)
const { explainLoadFailure } = require('../lib/load-failure.js')
const { version } = require('../package.json')
const root = path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), '..')

/** A copy of the package without its addon. */
async function bare() {
  const dir = await mkdtemp(path.join(tmpdir(), 'bare-'))
  onTestFinished(() => rm(dir, { recursive: true }))
  for (const file of ['index.js', 'index.mjs', 'native.js', 'package.json', 'lib']) {
    await cp(path.join(root, file), path.join(dir, file), { recursive: true })
  }
  return dir
}

/** What a program prints that loads the package of `dir`. */
function load(dir, flags = []) {
  const index = JSON.stringify(path.join(dir, 'index.js'))
  const program = `try { require(${index}); console.log('loaded') } catch (error) { console.log(error.code + '\\n' + error.message) }`
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [...flags, '-e', program], (error, stdout) => (error ? reject(error) : resolve(stdout)))
  })
}

const addon = (await readdir(root)).find((file) => file.endsWith('.node'))
const platform = addon.split('.')[1]

test('the platform, the package and what to do are named where nothing is installed', async () => {
  const said = await load(await bare())
  expect(said).toContain('ERR_ADDON_NOT_LOADED')
  expect(said).toContain(`ai-gateway-native ${version} could not load its native addon on ${platform}.`)
  expect(said).toContain(`Package wanted: ai-gateway-native-${platform} ${version}; installed: none.`)
  expect(said).toContain('The package of this platform is not installed.')
  expect(said).toContain('What to do: Install again with optional dependencies')
})

test('a damaged file is named as that', async () => {
  const dir = await bare()
  await writeFile(path.join(dir, addon), 'not an addon at all, but text that is long enough to look like a file')
  expect(await load(dir)).toContain('The file of the addon is damaged, or made for another platform.')
})

test('a package of another version is named with both', async () => {
  const dir = await bare()
  const other = path.join(dir, 'node_modules', `ai-gateway-native-${platform}`)
  await mkdir(other, { recursive: true })
  await writeFile(
    path.join(other, 'package.json'),
    JSON.stringify({ name: 'x', version: '0.0.1', main: 'missing.node' }),
  )
  const said = await load(dir)
  expect(said).toContain(`Package wanted: ai-gateway-native-${platform} ${version}; installed: 0.0.1.`)
  expect(said).toContain('The package of this platform has another version.')
})

test('the permission model is named where it forbids addons', async () => {
  const dir = await bare()
  await symlink(path.join(root, addon), path.join(dir, addon))
  const major = Number(process.versions.node.split('.')[0])
  if (major < 20) return expect(major).toBe(18)
  const flag =
    major >= 23 || process.allowedNodeEnvironmentFlags.has('--permission')
      ? '--permission'
      : '--experimental-permission'
  const said = await load(dir, ['--no-warnings', flag, '--allow-fs-read=*'])
  expect(said).toContain('Node.js runs with its permission model, which forbids native addons.')
  expect(said).toContain('--allow-addons')
})

const host = (fields) => ({ platform: 'linux', arch: 'x64', abi: 'gnu', versionOf: () => version, ...fields })

test('an old C library is named with both versions', () => {
  const cause = new Error("/lib/libc.so.6: version `GLIBC_2.38' not found (required by x.node)")
  const { message } = explainLoadFailure(new Error('Cannot find native binding', { cause }), host())
  expect(message).toMatch(/needs glibc 2\.38, and this system has /)
})

test('a platform without a package is told which have one', () => {
  const { message } = explainLoadFailure(
    new Error('Cannot find native binding'),
    host({ platform: 'freebsd', abi: undefined }),
  )
  expect(message).toContain('on freebsd-x64.\nThere is no addon for this platform.')
  expect(message).toContain('linux-x64-musl, linux-arm64-gnu')
  expect(message).toContain('win32-x64-msvc')
})

test('any other reason is told as it is, and the first error stays the cause', () => {
  const cause = new Error('libfoo.so: cannot open shared object file')
  const error = new Error('Cannot find native binding', { cause })
  const explained = explainLoadFailure(error, host())
  expect(explained.message).toContain('libfoo.so: cannot open shared object file')
  expect(explained.cause).toBe(error)
})
