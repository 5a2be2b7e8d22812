'use strict'

// A streamed answer as the SDK's parts.

const { carrying, toFinishReason, toMetadata, toToolCall, toUsage } = require('./answer.js')

/**
 * The parts of `answer`, a stream of the gateway. Cancelling closes the upstream. What breaks it off is an `error` part,
 * in the form that `toError` gives it; an abort by `signal` errors the stream.
 */
function toParts(answer, { warnings, toError, signal }) {
  const { events } = answer
  let blocks
  /** The vendor's blocks of reasoning, while no part carries them. */
  let details
  let whole
  let left = false

  // Calls and the end are reported once the answer is whole. Its reasoning rides on the part that ends then, else on a call.
  async function complete() {
    if (whole !== undefined) return whole
    whole = await answer.getUsageSummary()
    details = whole.reasoningDetails
    if (blocks.close(carrying({ reasoningDetails: details }))) details = undefined
    return whole
  }

  function finish(controller, summary, finishReason) {
    if (details?.length > 0) {
      blocks.open('reasoning')
      blocks.close(carrying({ reasoningDetails: details }))
    }
    controller.enqueue({ type: 'response-metadata', modelId: summary.model })
    controller.enqueue({ type: 'finish', finishReason, usage: toUsage(summary), providerMetadata: toMetadata(summary) })
    controller.close()
  }

  function callTool(controller, { id, name, input, rawInput, signature }) {
    const call = toToolCall({ id, name, arguments: input, rawArguments: rawInput, signature }, details)
    details = undefined
    controller.enqueue({ type: 'tool-input-start', id, toolName: name })
    controller.enqueue({ type: 'tool-input-delta', id, delta: call.input })
    controller.enqueue({ type: 'tool-input-end', id })
    controller.enqueue(call)
  }

  async function fail(controller, error) {
    if (signal?.aborted && error === signal.reason) return controller.error(error)
    controller.enqueue({ type: 'error', error: toError(error) })
    // What came before is billed: its figures are reported too.
    const summary = await answer.getUsageSummary()
    if (left) return undefined
    blocks.close({})
    return finish(controller, summary, { unified: 'error', raw: undefined })
  }

  return new ReadableStream({
    start(controller) {
      blocks = new Blocks(controller)
      controller.enqueue({ type: 'stream-start', warnings })
      controller.enqueue({
        type: 'response-metadata',
        id: answer.requestId,
        timestamp: new Date(),
        modelId: answer.stream.model,
      })
    },
    // Gives at least one part each time: a stream that was given none does not ask again.
    async pull(controller) {
      try {
        const { value, done } = await events.next()
        if (left) return
        if (done) return controller.close()
        if (value.type === 'text' || value.type === 'reasoning') return blocks.add(value.type, value.delta)
        const summary = await complete()
        if (left) return
        if (value.type === 'tool_use') callTool(controller, value)
        else finish(controller, summary, toFinishReason(value.finishReason))
      } catch (error) {
        if (!left) await fail(controller, error)
      }
    },
    async cancel() {
      left = true
      await events.return()
    },
  })
}

/** Runs of text and of reasoning, one open at a time. */
class Blocks {
  #controller
  #open = undefined
  #count = 0

  constructor(controller) {
    this.#controller = controller
  }

  add(type, delta) {
    if (this.#open?.type !== type) this.open(type)
    this.#controller.enqueue({ type: `${type}-delta`, id: this.#open.id, delta })
  }

  open(type) {
    this.close({})
    this.#open = { type, id: String(this.#count++) }
    this.#controller.enqueue({ type: `${type}-start`, id: this.#open.id })
  }

  /** Ends the open one, with `fields`; false where none is. */
  close(fields) {
    if (this.#open === undefined) return false
    this.#controller.enqueue({ type: `${this.#open.type}-end`, id: this.#open.id, ...fields })
    this.#open = undefined
    return true
  }
}

module.exports = { toParts }
