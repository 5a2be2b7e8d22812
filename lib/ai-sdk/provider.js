'use strict'

const { TASK_TYPES } = require('../internal.js')
const { embeddingModel } = require('./embedding-model.js')
const { noSuchModel } = require('./errors.js')
const { languageModel } = require('./language-model.js')
const { toV2EmbeddingModel, toV2LanguageModel } = require('./v2.js')

/** The id of models that leave the choice to the rules. */
const AUTO = 'auto'
const VERSIONS = ['v3', 'v2']

/** A provider of the Vercel AI SDK over `gateway`. */
function createGatewayProvider(gateway, options = {}) {
  if (typeof gateway?.chat !== 'function') throw new TypeError('createGatewayProvider: needs a Gateway')
  const { taskTypes, request, name = 'gateway', specificationVersion = 'v3' } = options
  if (!VERSIONS.includes(specificationVersion)) {
    throw new TypeError(`createGatewayProvider: specificationVersion: must be one of ${VERSIONS.join(', ')}`)
  }
  const own = taskTypes === undefined ? undefined : new Set(taskTypes)
  // Asked at each call: the rules may have changed.
  const isTaskType = (id) => (own ?? gateway[TASK_TYPES]?.())?.has(id) ?? false

  function fieldsOf(id) {
    if (typeof id === 'object') return id
    if (isTaskType(id)) return { taskType: id }
    return id === AUTO ? {} : { model: id }
  }

  function settings(kind, id) {
    const given = id == null || id === '' ? AUTO : id
    const modelId = typeof given === 'object' ? (given.model ?? given.taskType ?? AUTO) : given
    return { gateway, provider: `${name}.${kind}`, modelId, layers: () => [request ?? {}, fieldsOf(given)] }
  }

  const isV2 = specificationVersion === 'v2'
  const chat = (id) => {
    const model = languageModel(settings('chat', id))
    return isV2 ? toV2LanguageModel(model) : model
  }
  const embedding = (id) => {
    const model = embeddingModel(settings('embedding', id))
    return isV2 ? toV2EmbeddingModel(model) : model
  }
  const none = (modelType) => (id) => {
    throw noSuchModel(id, modelType)
  }
  return Object.assign((id) => chat(id), {
    specificationVersion,
    languageModel: chat,
    chat,
    embeddingModel: embedding,
    textEmbeddingModel: embedding,
    imageModel: none('imageModel'),
  })
}

module.exports = { createGatewayProvider }
