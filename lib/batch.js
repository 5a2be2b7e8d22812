'use strict'

const { invalidRequest } = require('./errors.js')

const CONCURRENCY = 8

/** Runs `chat` on each request, so many at once; settled results in the requests' order. */
async function batch(chat, requests, { concurrency = CONCURRENCY, signal } = {}) {
  if (!Array.isArray(requests)) throw invalidRequest('requests', 'must be an array')
  if (!Number.isInteger(concurrency) || concurrency < 1) {
    throw invalidRequest('concurrency', 'must be a whole number of 1 or more')
  }
  const results = new Array(requests.length)
  let next = 0
  const work = async () => {
    while (next < requests.length) {
      const index = next++
      results[index] = await settled(chat, requests[index], signal)
    }
  }
  await Promise.all(Array.from({ length: Math.min(concurrency, requests.length) }, work))
  return results
}

async function settled(chat, request, signal) {
  try {
    signal?.throwIfAborted()
    return { status: 'fulfilled', value: await chat(request) }
  } catch (reason) {
    return { status: 'rejected', reason }
  }
}

module.exports = { batch }
