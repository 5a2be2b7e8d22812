// Makes the tarballs that are published, in dist/: the root package, which holds no binary, and the platform packages
// whose binary is in npm/ (this machine's, and those that CI has put there).
//
// The root package depends on each platform package, and npm installs the one that fits. In a clone it must not:
// `npm ci` would refuse a lock file without those packages until they are published. So the dependencies are added
// here, to a copy.
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fillPlatformPackage, manifest, reasonToBuild, root } from './addon.mjs'
import { build } from './build.mjs'

const dist = path.join(root, 'dist')

function npmPack(dir, ...args) {
  const command = ['pack', '--ignore-scripts', '--json', ...args]
  const output = execFileSync('npm', command, { cwd: dir, encoding: 'utf8', shell: process.platform === 'win32' })
  return JSON.parse(output)[0]
}

function platformPackages() {
  return readdirSync(path.join(root, 'npm')).map((name) => {
    const dir = path.join(root, 'npm', name)
    const platform = JSON.parse(readFileSync(path.join(dir, 'package.json'), 'utf8'))
    if (platform.version !== manifest.version) {
      throw new Error(`npm/${name} has version ${platform.version}, the root package ${manifest.version}`)
    }
    return { ...platform, dir }
  })
}

function packRoot(platforms) {
  const { devDependencies, scripts, napi, ...published } = manifest
  published.files = published.files.filter((file) => !file.endsWith('.node'))
  published.optionalDependencies = Object.fromEntries(platforms.map(({ name, version }) => [name, version]))

  const stage = mkdtempSync(path.join(os.tmpdir(), 'ai-gateway-native-'))
  try {
    for (const { path: file } of npmPack(root, '--dry-run').files) {
      if (!file.endsWith('.node')) cpSync(path.join(root, file), path.join(stage, file))
    }
    writeFileSync(path.join(stage, 'package.json'), `${JSON.stringify(published, null, 2)}\n`)
    return npmPack(stage, '--pack-destination', dist)
  } finally {
    rmSync(stage, { recursive: true })
  }
}

const reason = reasonToBuild({ release: true })
if (reason) {
  console.log(`Building the native addon: ${reason}.`)
  build()
}
fillPlatformPackage()

mkdirSync(dist, { recursive: true })
for (const file of readdirSync(dist)) if (file.endsWith('.tgz')) rmSync(path.join(dist, file))

const platforms = platformPackages()
const packed = [packRoot(platforms)]
for (const { dir, main } of platforms) {
  if (!existsSync(path.join(dir, main))) continue
  // npm packs no file from above a package's directory.
  for (const name of ['LICENSE', 'THIRD-PARTY-NOTICES.txt']) cpSync(path.join(root, name), path.join(dir, name))
  packed.push(npmPack(dir, '--pack-destination', dist))
}
for (const { filename, size, unpackedSize } of packed) {
  console.log(`dist/${filename}  ${megabytes(size)} packed, ${megabytes(unpackedSize)} unpacked`)
}

function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(2)} MB`
}
