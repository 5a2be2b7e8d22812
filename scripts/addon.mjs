// Where the native addon lies and whether it is up to date.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
export const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'))

/** This machine in napi's words, such as `linux-x64-gnu`. */
export function hostPlatform() {
  const { platform, arch } = process
  if (platform === 'linux') return `linux-${arch}-${usesGlibc() ? 'gnu' : 'musl'}`
  if (platform === 'win32') return `win32-${arch}-msvc`
  return `${platform}-${arch}`
}

function usesGlibc() {
  process.report.excludeNetwork = true
  return Boolean(process.report.getReport().header.glibcVersionRuntime)
}

const addonName = `${manifest.napi.binaryName}.${hostPlatform()}.node`
const platformDir = path.join(root, 'npm', hostPlatform())

/** What a build leaves behind. */
export const addonPath = path.join(root, addonName)
const outputs = [addonPath, path.join(root, 'native.js'), path.join(root, 'native.d.ts')]

/** What a build reads. */
const sources = ['src', 'crates', 'Cargo.toml', 'Cargo.lock', 'build.rs']

/** Marks an addon built without optimisation: good for tests, not for a package. */
const debugMark = path.join(root, 'node_modules', '.cache', manifest.name, 'debug-build')

export function markBuild({ debug }) {
  if (!debug) return rmSync(debugMark, { force: true })
  mkdirSync(path.dirname(debugMark), { recursive: true })
  writeFileSync(debugMark, '')
}

/** Why the addon must be built, or `undefined` when it is up to date. */
export function reasonToBuild({ release }) {
  const missing = outputs.find((file) => !existsSync(file))
  if (missing) return `${path.basename(missing)} is missing`
  if (release && existsSync(debugMark)) return 'the addon is a debug build'
  const built = statSync(addonPath).mtimeMs
  const newer = sources.flatMap(filesUnder).find((file) => statSync(path.join(root, file)).mtimeMs > built)
  return newer && `${newer} is newer than the addon`
}

function filesUnder(name) {
  const file = path.join(root, name)
  if (!existsSync(file)) return []
  if (!statSync(file).isDirectory()) return [name]
  return readdirSync(file).flatMap((entry) => filesUnder(path.join(name, entry)))
}

/** Puts the addon into this machine's platform package as well, for `npm pack`. */
export function fillPlatformPackage() {
  if (!existsSync(platformDir)) return
  const copy = path.join(platformDir, addonName)
  if (existsSync(copy) && statSync(copy).mtimeMs >= statSync(addonPath).mtimeMs) return
  copyFileSync(addonPath, copy)
}
