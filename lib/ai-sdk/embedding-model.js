'use strict'

const { toMetadata } = require('./answer.js')
const { toSdkError, tooManyValues, unsupported } = require('./errors.js')
const { embedRequest } = require('./request.js')

/** Texts in one call: OpenAI's limit. */
const MAX_VALUES = 2048

/** An embedding model of the SDK over a gateway; `layers()` gives the fields that its requests have beside the call's own. */
function embeddingModel({ gateway, provider, modelId, layers }) {
  return {
    specificationVersion: 'v3',
    provider,
    modelId,
    maxEmbeddingsPerCall: MAX_VALUES,
    supportsParallelCalls: true,

    async doEmbed(call) {
      if (typeof gateway.embed !== 'function') throw unsupported('embeddings')
      const { values } = call
      if (values.length > MAX_VALUES)
        throw tooManyValues({ provider, modelId, maxEmbeddingsPerCall: MAX_VALUES, values })
      const { request, warnings } = embedRequest(layers(), call)
      let answer
      try {
        answer = await gateway.embed(request)
      } catch (error) {
        throw toSdkError(error, request)
      }
      return {
        embeddings: answer.vectors,
        usage: { tokens: answer.inputTokens },
        providerMetadata: toMetadata(answer),
        warnings,
      }
    },
  }
}

module.exports = { embeddingModel }
