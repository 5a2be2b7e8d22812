// The benchmark's command: `npm run bench -- --help`. Results go to stdout as Markdown, progress to stderr.
import { fork } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { report } from './report.mjs'
import { scenarios } from './scenarios.mjs'
import { targets } from './targets.mjs'
import { only as overTls } from './tls.mjs'

const MAX_REPS = 50
const TIMEOUT_MS = { full: 180_000, quick: 20_000 }
const UPSTREAM_START_MS = 10_000
const HELP = `npm run bench -- [options]

  --scenario NAMES  ${Object.keys(scenarios).join(', ')} or all (default)
  --targets NAMES   ${Object.keys(targets).join(', ')} (default: all)
  --reps N          repetitions of each target, 1 to ${MAX_REPS} (default: 5; with --quick 1)
  --quick           small sizes: shows that everything runs, not how fast
  --json FILE       also write every repetition's figures

NAMES are separated by commas.`

// No proxy stands between a target and the upstream, and nothing in the environment configures a target.
const LEFT_OUT = /^((https?|all|no)_proxy|node_options|node_extra_ca_certs|openai_.*)$/i
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !LEFT_OUT.test(name)))

function parse() {
  const { values } = parseArgs({
    options: {
      scenario: { type: 'string', default: 'all' },
      targets: { type: 'string', default: Object.keys(targets).join() },
      reps: { type: 'string' },
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  const pick = (text, known, what) => {
    const names = [...new Set(text.split(','))]
    const unknown = names.find((name) => !Object.hasOwn(known, name))
    if (unknown !== undefined) throw new Error(`no ${what} "${unknown}"; there are ${Object.keys(known).join(', ')}`)
    return names
  }
  const reps = Number(values.reps ?? (values.quick ? 1 : 5))
  if (!Number.isInteger(reps) || reps < 1 || reps > MAX_REPS) throw new Error(`--reps is from 1 to ${MAX_REPS}`)
  return {
    reps,
    size: values.quick ? 'quick' : 'full',
    json: values.json,
    help: values.help,
    chosen: values.scenario === 'all' ? Object.keys(scenarios) : pick(values.scenario, scenarios, 'scenario'),
    names: pick(values.targets, targets, 'target'),
  }
}

const path = (file) => fileURLToPath(new URL(file, import.meta.url))
const version = (name) => JSON.parse(readFileSync(path(`../node_modules/${name}/package.json`), 'utf8')).version

/** `{upstream, port, authority}`: the last, where it speaks TLS, is a file to trust. */
function startUpstream(file) {
  const upstream = fork(path(file), { env })
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => upstream.kill('SIGKILL'), UPSTREAM_START_MS)
    upstream.once('message', ({ port, authority }) => {
      clearTimeout(late)
      resolve({ upstream, port, authority })
    })
    upstream.once('error', reject)
    upstream.once('exit', (code) => {
      clearTimeout(late)
      reject(new Error(`the upstream did not start (exit code ${code})`))
    })
  })
}

/** One repetition in a process of its own: `{figures}` or `{error}`. */
function repetition(args, timeout, authority) {
  return new Promise((resolve) => {
    const child = fork(path('child.mjs'), args.map(String), {
      env: authority ? { ...env, NODE_EXTRA_CA_CERTS: authority } : env,
      execArgv: ['--expose-gc'],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    let outcome
    let stderr = ''
    let late = false
    const timer = setTimeout(() => {
      late = true
      child.kill('SIGKILL')
    }, timeout)
    child.stderr.setEncoding('utf8').on('data', (text) => {
      stderr = (stderr + text).slice(-400)
    })
    child.on('message', (message) => {
      outcome = message
    })
    child.on('error', (error) => {
      outcome ??= { error: error.message }
    })
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      const ended = late ? `no result within ${timeout / 1e3} s` : `ended with ${signal ?? code}`
      resolve(outcome ?? { error: `${ended} ${stderr}`.replace(/\s+/g, ' ').trim() })
    })
  })
}

/** How many handshakes an upstream has seen. */
function handshakesOf(upstream) {
  return new Promise((resolve) => {
    upstream.once('message', ({ handshakes }) => resolve(handshakes))
    upstream.send('handshakes')
  })
}

async function measure(scenario, { names: all, reps, size }, { upstream, port, authority }) {
  const { only } = scenarios[scenario]
  const names = all.filter((name) => (only ? only.includes(name) : !overTls.includes(name)))
  const result = { runs: new Map(names.map((name) => [name, []])), failures: [] }
  const failed = (name) => result.failures.some((failure) => failure.name === name)
  for (let rep = 0; rep < reps; rep++) {
    // In turn, each time beginning with another one: what else the machine does falls on all alike.
    for (let i = 0; i < names.length; i++) {
      const name = names[(rep + i) % names.length]
      if (failed(name)) continue
      const before = authority && (await handshakesOf(upstream))
      const { figures, error } = await repetition([name, scenario, size, port], TIMEOUT_MS[size], authority)
      if (figures && authority) figures.handshakes = (await handshakesOf(upstream)) - before
      if (figures) result.runs.get(name).push(figures)
      else result.failures.push({ name, repetition: rep + 1, why: error })
      process.stderr.write(`${scenario} ${rep + 1}/${reps} ${name}${error ? `: FAILED: ${error}` : ''}\n`)
    }
  }
  return result
}

async function main(options) {
  const upstreams = new Map()
  const results = new Map()
  try {
    for (const scenario of options.chosen) {
      const file = scenarios[scenario].full.tls ? 'upstream-tls.mjs' : 'upstream.mjs'
      if (!upstreams.has(file)) upstreams.set(file, await startUpstream(file))
      results.set(scenario, await measure(scenario, options, upstreams.get(file)))
    }
  } finally {
    for (const { upstream } of upstreams.values()) upstream.disconnect()
  }
  const { reps, size, json } = options
  const cpus = os.cpus()
  const hardware = `${process.platform} ${process.arch}, ${cpus.length} × ${cpus[0]?.model.trim()}`
  const rivals = `undici ${version('undici')}, openai ${version('openai')}, ai ${version('ai')}`
  const cells = reps > 1 ? `${reps} repetitions, median (min–max)` : 'one repetition'
  const small = size === 'quick' ? '; quick sizes, which show that it runs and not how fast' : ''
  const about = `Node.js ${process.version}, ${hardware}; ${rivals}; ${cells}${small}.`
  console.log(report(results, { size, about }))
  if (json) {
    const plain = [...results].map(([name, { runs, failures }]) => [name, { runs: Object.fromEntries(runs), failures }])
    writeFileSync(json, `${JSON.stringify({ about, size, reps, results: Object.fromEntries(plain) }, null, 2)}\n`)
  }
  if ([...results.values()].some(({ failures }) => failures.length > 0)) process.exitCode = 1
}

try {
  const options = parse()
  if (options.help) console.log(HELP)
  else await main(options)
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
}
