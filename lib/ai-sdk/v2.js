'use strict'

// Models of version 3 as version 2 of the SDK's interfaces has them, for `ai` 5.

function toV2LanguageModel(model) {
  return {
    ...model,
    specificationVersion: 'v2',

    async doGenerate(call) {
      const { finishReason, usage, warnings, ...result } = await model.doGenerate(call)
      return {
        ...result,
        finishReason: finishReason.unified,
        usage: toV2Usage(usage),
        warnings: warnings.map(toV2Warning),
      }
    },

    async doStream(call) {
      const { stream, ...result } = await model.doStream(call)
      const converted = new TransformStream({ transform: (part, controller) => controller.enqueue(toV2Part(part)) })
      return { ...result, stream: stream.pipeThrough(converted) }
    },
  }
}

function toV2EmbeddingModel(model) {
  return { ...model, specificationVersion: 'v2' }
}

function toV2Part(part) {
  if (part.type === 'stream-start') return { ...part, warnings: part.warnings.map(toV2Warning) }
  if (part.type === 'finish') return { ...part, finishReason: part.finishReason.unified, usage: toV2Usage(part.usage) }
  return part
}

function toV2Usage({ inputTokens, outputTokens }) {
  return {
    inputTokens: inputTokens.total,
    outputTokens: outputTokens.total,
    totalTokens: inputTokens.total + outputTokens.total,
    cachedInputTokens: inputTokens.cacheRead,
    reasoningTokens: outputTokens.reasoning,
  }
}

function toV2Warning({ feature: setting, details }) {
  return { type: 'unsupported-setting', setting, ...(details && { details }) }
}

module.exports = { toV2EmbeddingModel, toV2LanguageModel }
