'use strict'

const { toContent, toFinishReason, toMetadata, toUsage, toWarnings } = require('./answer.js')
const { toSdkError, withoutSignal } = require('./errors.js')
const { chatRequest } = require('./request.js')
const { toParts } = require('./stream.js')

/**
 * A language model of the SDK over a gateway; `layers()` gives the fields that its requests have beside the call's own.
 *
 * An object without hidden state: the SDK puts proxies before models.
 */
function languageModel({ gateway, provider, modelId, layers }) {
  return {
    specificationVersion: 'v3',
    provider,
    modelId,
    // Vendors fetch images themselves; the SDK fetches everything else.
    supportedUrls: { 'image/*': [/^https?:\/\//i] },

    async doGenerate(call) {
      const { request, warnings } = chatRequest(layers(), call)
      let answer
      try {
        answer = await gateway.chat(request)
      } catch (error) {
        throw toSdkError(error, request)
      }
      return {
        content: toContent(answer),
        finishReason: toFinishReason(answer.finishReason),
        usage: toUsage(answer),
        providerMetadata: toMetadata(answer),
        request: { body: withoutSignal(request) },
        response: { id: answer.requestId, modelId: answer.model, timestamp: new Date() },
        warnings: [...warnings, ...toWarnings(answer)],
      }
    },

    async doStream(call) {
      const { request, warnings } = chatRequest(layers(), call)
      const toError = (error) => toSdkError(error, request)
      let answer
      try {
        answer = await gateway.chatStream(request)
      } catch (error) {
        throw toError(error)
      }
      return {
        stream: toParts(answer, { warnings: [...warnings, ...toWarnings(answer)], toError, signal: request.signal }),
        request: { body: withoutSignal(request) },
      }
    },
  }
}

module.exports = { languageModel }
