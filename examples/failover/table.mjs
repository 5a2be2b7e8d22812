// A table that is drawn over itself on a terminal, and plain lines anywhere else.

const COLOURS = { closed: 32, half_open: 33, open: 31 }
const WIDTH = 24

/** `draw(snapshot)` shows how things are; call it every `everyMs` milliseconds. */
export function view(output) {
  if (!output.isTTY) return { everyMs: 500, draw: (snapshot) => output.write(`${line(snapshot)}\n`) }
  let height = 0
  return {
    everyMs: 100,
    draw(snapshot) {
      const lines = table(snapshot)
      // Up to where the last one began, then each line to its end.
      const up = height > 0 ? `\x1b[${height}A` : ''
      output.write(up + lines.map((text) => `${text}\x1b[K\n`).join(''))
      height = lines.length
    },
  }
}

const paint = (colour, text) => `\x1b[${colour}m${text}\x1b[0m`
const percent = (share) => `${Math.round(share * 100)} %`
const milliseconds = (ms) => (ms === null ? '–' : `${Math.round(ms)} ms`)

function table({ seconds, targets, calls, failures, rescued }) {
  const head = `${'target'.padEnd(8)}${'server'.padEnd(8)}${'state'.padEnd(11)}${'share of the last second'.padEnd(WIDTH + 7)}`
  return [
    `${seconds.toFixed(1).padStart(5)} s`,
    paint(2, `${head}${'p50'.padStart(7)}${'errors'.padStart(8)}${'in flight'.padStart(11)}`),
    ...targets.map(({ provider, isUp, state, share, p50, errorRate, inFlight }) => {
      const bar = '█'.repeat(Math.round(share * WIDTH)).padEnd(WIDTH, '·')
      const server = isUp ? 'up'.padEnd(8) : paint(31, 'down'.padEnd(8))
      const figures = `${milliseconds(p50).padStart(7)}${percent(errorRate).padStart(8)}${String(inFlight).padStart(11)}`
      return `${provider.padEnd(8)}${server}${paint(COLOURS[state], state.padEnd(11))}${bar} ${percent(share).padStart(5)} ${figures}`
    }),
    '',
    `calls ${calls}   failures seen by callers ${paint(failures > 0 ? 31 : 32, failures)}   answered by a second target ${rescued}`,
  ]
}

function line({ seconds, targets, calls, failures }) {
  const each = targets.map(({ provider, isUp, state, share, p50, errorRate, inFlight }) =>
    [
      provider,
      isUp ? 'up' : 'down',
      state,
      percent(share),
      milliseconds(p50),
      `errors ${percent(errorRate)}`,
      `in flight ${inFlight}`,
    ].join(' '),
  )
  return `${seconds.toFixed(1).padStart(5)} s | ${each.join(' | ')} | calls ${calls} | failures ${failures}`
}
