'use strict'

// Why the native addon could not be loaded, in words for the person who has to mend it.

const { name, version, napi } = require('../package.json')

/** What is behind a failure, by a mark in one of its messages; the first that fits is told. */
const REASONS = [
  {
    mark: /ERR_DLOPEN_DISABLED|loading addons is disabled|--allow-addons/i,
    tell: () => [
      'Node.js runs with its permission model, which forbids native addons.',
      'Start it with --allow-addons as well.',
    ],
  },
  {
    mark: /version [`']?GLIBC_([\d.]+)'? not found/,
    tell: ([, wanted]) => [
      `The C library is too old: the addon needs glibc ${wanted}, and this system has ${glibcVersion() ?? 'an older one'}.`,
      'Use a newer system or container image (Debian 12 and Ubuntu 22.04 are new enough), or Alpine, which has a package of its own.',
    ],
  },
  {
    mark: /invalid ELF header|wrong ELF class|file too short|not a valid Win32 application|slice is not valid mach-o|not a mach-o file|incompatible architecture|cannot apply additional memory protection|Exec format error/i,
    tell: () => [
      'The file of the addon is damaged, or made for another platform.',
      'Delete node_modules and install again on this machine (or in this image): files that were copied from another platform do not fit.',
    ],
  },
  {
    mark: /NODE_MODULE_VERSION|undefined symbol: napi_|Module did not self-register/,
    tell: () => [`Node.js ${process.versions.node} cannot run this addon.`, 'Use Node.js 18 or newer.'],
  },
]

const NOT_INSTALLED = [
  'The package of this platform is not installed.',
  'Install again with optional dependencies (no --omit=optional, no --no-optional). If package-lock.json was made on another platform, delete it and node_modules first.',
]

/** The error to throw in place of `error`, which stays its `cause`. `host` is where the program runs. */
function explainLoadFailure(error, host = thisHost()) {
  const platform = `${host.platform}-${host.arch}${host.abi === undefined ? '' : `-${host.abi}`}`
  const wanted = `${name}-${platform}`
  const supported = supportedPlatforms()
  const found = host.versionOf(wanted)
  const lines = [`${name} ${version} could not load its native addon on ${platform}.`]
  const [reason, advice] = supported.includes(platform)
    ? reasonOf(error, found)
    : ['There is no addon for this platform.', `Supported are ${supported.join(', ')}.`]
  if (supported.includes(platform)) {
    lines.push(`Package wanted: ${wanted} ${version}; installed: ${found ?? 'none'}.`)
  }
  lines.push(reason, `What to do: ${advice}`)
  const explained = new Error(lines.join('\n'), { cause: error })
  explained.code = 'ERR_ADDON_NOT_LOADED'
  return explained
}

function reasonOf(error, found) {
  const texts = messagesOf(error)
  for (const { mark, tell } of REASONS) {
    for (const text of texts) {
      const match = mark.exec(text)
      if (match !== null) return tell(match)
    }
  }
  if (found !== undefined && found !== version) {
    return [
      'The package of this platform has another version.',
      `Install both in the same version: delete node_modules and package-lock.json, and install ${name} again.`,
    ]
  }
  if (texts.every((text) => /Cannot find|MODULE_NOT_FOUND/.test(text))) return NOT_INSTALLED
  const real = texts.find((text) => !/Cannot find|MODULE_NOT_FOUND/.test(text))
  return [real.split('\n')[0], 'If the message does not help, please report it with this whole text.']
}

/** The codes and messages of an error and of all that caused it. */
function messagesOf(error) {
  const texts = []
  for (let cause = error; cause != null && texts.length < 20; cause = cause.cause) {
    texts.push(`${cause.code ?? ''} ${cause.message ?? cause}`.trim())
  }
  return texts
}

/** The platforms that have a package, as their packages are named. */
function supportedPlatforms() {
  const archs = { x86_64: 'x64', aarch64: 'arm64' }
  return napi.targets.map((target) => {
    const [arch, , system, abi] = target.split('-')
    const platform = { windows: 'win32' }[system] ?? system
    return [platform, archs[arch], ...(abi === undefined ? [] : [abi])].join('-')
  })
}

function thisHost() {
  const { platform, arch } = process
  const abi = { linux: glibcVersion() === undefined ? 'musl' : 'gnu', win32: 'msvc' }[platform]
  return { platform, arch, abi, versionOf }
}

function glibcVersion() {
  return process.report?.getReport()?.header?.glibcVersionRuntime
}

function versionOf(packageName) {
  try {
    return require(`${packageName}/package.json`).version
  } catch {
    return undefined
  }
}

module.exports = { explainLoadFailure }
