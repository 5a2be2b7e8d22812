'use strict'

// Errors that the SDK knows as its own: it goes by marks, so that nothing of it need be loaded.

const { GatewayError } = require('../errors.js')

const MARK = 'vercel.ai.error'

function errorClass(kind) {
  const name = `AI_${kind}`
  const SdkError = class extends Error {
    constructor(message, { cause, ...fields }) {
      super(message, cause === undefined ? undefined : { cause })
      Object.assign(this, fields)
    }
  }
  const shared = { name, [Symbol.for(MARK)]: true, [Symbol.for(`${MARK}.${name}`)]: true }
  for (const key of Reflect.ownKeys(shared)) {
    Object.defineProperty(SdkError.prototype, key, { value: shared[key], writable: true, configurable: true })
  }
  return SdkError
}

const APICallError = errorClass('APICallError')
const NoSuchModelError = errorClass('NoSuchModelError')
const TooManyEmbeddingValuesForCallError = errorClass('TooManyEmbeddingValuesForCallError')
const UnsupportedFunctionalityError = errorClass('UnsupportedFunctionalityError')

/** Kinds that stand for an upstream's answer, or for none. */
const UPSTREAM = new Set([
  'provider_auth',
  'provider_rate_limit',
  'provider_timeout',
  'provider_network',
  'provider_response',
  'provider_unavailable',
])

/** What the SDK is thrown for `error`: its `APICallError` where an upstream failed, else the very same object. */
function toSdkError(error, request) {
  if (!GatewayError.isInstance(error) || !UPSTREAM.has(error.kind)) return error
  return new APICallError(error.message, {
    url: '',
    requestBodyValues: withoutSignal(request),
    statusCode: statusOf(error),
    isRetryable: error.retryable,
    cause: error,
  })
}

// A lost connection has no status; an unusable answer came with 200, which is none of an error.
function statusOf({ kind, httpStatus, details }) {
  if (kind === 'provider_network') return undefined
  return details?.upstreamStatus >= 400 ? details.upstreamStatus : httpStatus
}

function withoutSignal({ signal, ...body }) {
  return body
}

function noSuchModel(modelId, modelType) {
  return new NoSuchModelError(`No such ${modelType}: ${modelId}`, { modelId, modelType })
}

function unsupported(functionality) {
  return new UnsupportedFunctionalityError(`'${functionality}' functionality not supported.`, { functionality })
}

function tooManyValues({ provider, modelId, maxEmbeddingsPerCall, values }) {
  const message = `${provider} "${modelId}" embeds up to ${maxEmbeddingsPerCall} values in a call, not ${values.length}.`
  return new TooManyEmbeddingValuesForCallError(message, { provider, modelId, maxEmbeddingsPerCall, values })
}

module.exports = { noSuchModel, toSdkError, tooManyValues, unsupported, withoutSignal }
