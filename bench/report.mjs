// The tables, in Markdown.
import { scenarios } from './scenarios.mjs'
import { targets } from './targets.mjs'

const GATEWAY = 'gateway'
/** MiB; growth below it is noise, and a ratio of noise says nothing. */
const LEAST_GROWTH = 1

function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

function number(value) {
  const size = Math.abs(value)
  return value.toFixed(size >= 1000 ? 0 : size >= 10 ? 1 : 2).replace('-', '−')
}

/** `median (min–max)`. */
function spread(values, middle = median(values)) {
  if (values.length === 0) return '–'
  if (values.length === 1) return number(middle)
  return `${number(middle)} (${number(Math.min(...values))}–${number(Math.max(...values))})`
}

function table(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`
  const rule = head.map((_, i) => (i === 0 ? ':--' : '--:'))
  return [head, rule, ...rows].map(line).join('\n')
}

/** The median of one over that of the other and, in brackets, the range of the ratios of single repetitions. */
function ratio(column, gateway, rival) {
  if (gateway.length === 0 || rival.length === 0) return '–'
  const [ours, theirs] = [gateway, rival].map((runs) => median(runs.map((run) => run[column])))
  if (column === 'growth MiB' && Math.min(ours, theirs) < LEAST_GROWTH) {
    return `${ours > theirs ? '+' : ''}${number(ours - theirs)} MiB`
  }
  const pairs = gateway.slice(0, rival.length).map((run, i) => run[column] / rival[i][column])
  if (column === 'growth MiB' && pairs.some((pair) => pair < 0 || !Number.isFinite(pair))) return number(ours / theirs)
  return spread(pairs, ours / theirs)
}

/** Everyone who took part in some scenario that has ratios. */
const namesOf = (results) => {
  const compared = [...results].filter(([scenario]) => Object.keys(scenarios[scenario].ratios).length > 0)
  return [...new Set(compared.flatMap(([, { runs }]) => [...runs.keys()]))]
}

export function ratiosTable(results) {
  const rivals = namesOf(results).filter((name) => name !== GATEWAY)
  const rows = [...results].flatMap(([scenario, { runs }]) =>
    Object.entries(scenarios[scenario].ratios).map(([column, label]) => [
      label,
      ...rivals.map((rival) => ratio(column, runs.get(GATEWAY) ?? [], runs.get(rival) ?? [])),
    ]),
  )
  return table(['ai-gateway-native ÷', ...rivals.map((name) => targets[name])], rows)
}

export function scenarioTable({ runs }) {
  const columns = [...new Set([...runs.values()].flat().flatMap(Object.keys))]
  if (columns.length === 0) return 'No target answered.'
  const rows = [...runs].map(([name, figures]) => [
    targets[name],
    ...columns.map((column) => spread(figures.map((run) => run[column]))),
  ])
  return table(['', ...columns], rows)
}

export function report(results, { size, about }) {
  const parts = [about]
  const names = namesOf(results)
  if (names.includes(GATEWAY) && names.length > 1) {
    parts.push('## Ratios', 'Below 1 the gateway needs less.', ratiosTable(results))
  }
  for (const [scenario, result] of results) {
    parts.push(`## ${scenarios[scenario].title(scenarios[scenario][size])}`, scenarioTable(result))
    for (const { name, repetition, why } of result.failures) {
      parts.push(`**${targets[name]} failed** in repetition ${repetition}: ${why}`)
    }
  }
  return parts.join('\n\n')
}
