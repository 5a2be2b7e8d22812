// Checks the tarballs of `npm run pack` as their users meet them: publint, attw, then an installation in an empty
// project without Rust, where the package is imported, required, called and type-checked.
//
// Usage: node scripts/check-package.mjs [NODE…]   paths of further Node.js binaries to call the package under
import { execFileSync } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { hostPlatform, manifest, root } from './addon.mjs'

const nodes = [process.execPath, ...process.argv.slice(2)]
const maxAddonBytes = 25e6
const maxTarballBytes = 16e6

function run(command, args, options = {}) {
  console.log(`$ ${[path.basename(command), ...args].join(' ')}`)
  execFileSync(command, args, { cwd: root, stdio: 'inherit', ...options })
}

/** A development tool, run by its script: what npm puts into `.bin` is no program on Windows. */
function tool(name, command, args, options) {
  const dir = path.join(root, 'node_modules', name)
  const { bin } = JSON.parse(readFileSync(path.join(dir, 'package.json'), 'utf8'))
  run(process.execPath, [path.join(dir, bin[command]), ...args], options)
}

function tarball(name) {
  return path.join(root, 'dist', `${name}-${manifest.version}.tgz`)
}

/** The environment with a cargo and a rustc that fail: an installation must not call them. */
function withoutRust(dir) {
  const shims = path.join(dir, 'no-rust')
  mkdirSync(shims)
  for (const name of ['cargo', 'rustc']) {
    writeFileSync(path.join(shims, `${name}.cmd`), '@echo nothing may be compiled here>&2\r\n@exit /b 1\r\n')
    writeFileSync(path.join(shims, name), '#!/bin/sh\necho "nothing may be compiled here" >&2\nexit 1\n', {
      mode: 0o755,
    })
  }
  return { ...process.env, PATH: `${shims}${path.delimiter}${process.env.PATH}` }
}

run(process.execPath, ['scripts/pack.mjs'])
const rootTarball = tarball(manifest.name)
const platformTarball = tarball(`${manifest.name}-${hostPlatform()}`)

const { size } = statSync(platformTarball)
console.log(`${path.basename(platformTarball)}: ${(size / 1e6).toFixed(2)} MB`)
if (size > maxTarballBytes) throw new Error(`the platform tarball has ${size} bytes; the limit is ${maxTarballBytes}`)

tool('publint', 'publint', [rootTarball, '--strict'])
tool('@arethetypeswrong/cli', 'attw', [rootTarball])

const project = mkdtempSync(path.join(os.tmpdir(), 'consumer-'))
try {
  writeFileSync(path.join(project, 'package.json'), '{ "private": true }\n')
  // On Windows npm is a batch file, which needs a shell.
  const shell = process.platform === 'win32'
  run('npm', ['install', rootTarball, platformTarball], { cwd: project, env: withoutRust(project), shell })

  const installed = path.join(project, 'node_modules')
  const inRoot = readdirSync(path.join(installed, manifest.name)).filter((file) => file.endsWith('.node'))
  if (inRoot.length > 0) throw new Error(`the root package holds a binary: ${inRoot}`)
  const platform = path.join(installed, `${manifest.name}-${hostPlatform()}`)
  for (const dir of [path.join(installed, manifest.name), platform]) {
    for (const name of ['LICENSE', 'THIRD-PARTY-NOTICES.txt']) {
      if (!readdirSync(dir).includes(name)) throw new Error(`${path.basename(dir)} is packed without ${name}`)
    }
  }
  for (const file of readdirSync(platform).filter((name) => name.endsWith('.node'))) {
    const { size } = statSync(path.join(platform, file))
    console.log(`${file}: ${(size / 1e6).toFixed(2)} MB`)
    if (size >= maxAddonBytes) throw new Error(`${file} has ${size} bytes; the limit is ${maxAddonBytes}`)
  }

  cpSync(path.join(root, 'scripts', 'consumer'), project, { recursive: true })
  for (const node of nodes) {
    run(node, ['smoke.cjs'], { cwd: project })
    run(node, ['smoke.mjs'], { cwd: project })
    run(node, ['workers.mjs'], { cwd: project })
  }

  cpSync(path.join(root, '__test__', 'types'), project, { recursive: true })
  mkdirSync(path.join(installed, '@types'), { recursive: true })
  for (const name of ['expect-type', '@types/node', 'undici-types']) {
    symlinkSync(path.join(root, 'node_modules', name), path.join(installed, name), 'junction')
  }
  for (const config of ['tsconfig.node.json', 'tsconfig.bundler.json']) {
    tool('typescript', 'tsc', ['-p', config], { cwd: project })
  }
} finally {
  rmSync(project, { recursive: true })
}
console.log('The packed tarballs are in order.')
