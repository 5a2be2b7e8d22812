// Each public declaration and each member says what it is; with units and defaults where it has any.
import ts from 'typescript'
import { describe, expect, test } from 'vitest'
import { checker, declarations } from './declarations.mjs'

const all = [...declarations()]

/** Places and names of those that lack something. */
const lacking = (entries) => entries.map(({ place, name }) => `${place} ${name}`)

test('the declarations are found', () => {
  expect(all.length).toBeGreaterThan(500)
  expect(all.map(({ name }) => name)).toEqual(
    expect.arrayContaining([
      'Gateway.chat',
      'ToolUseEvent.rawInput',
      'OpenAIImagePart.image_url.detail',
      'ModelPrefix',
    ]),
  )
})

test('everything has a comment', () => {
  expect(lacking(all.filter(({ comment }) => comment === ''))).toEqual([])
})

describe('units', () => {
  test.each([
    ['milliseconds', /(Ms|ms)$/, /milliseconds/i],
    ['US dollars', /(Usd|PerTokens|Per1kTokens)$/, /US dollars/],
    ['bytes', /Bytes$/, /bytes/i],
  ])('of %s are named', (_, named, says) => {
    const members = all.filter(({ name }) => named.test(name) && name.includes('.'))
    expect(members).not.toEqual([])
    expect(lacking(members.filter(({ comment }) => !says.test(comment)))).toEqual([])
  })
})

/** What users write: whoever leaves a field out wants to know what happens then. */
const WRITTEN = [
  /^types\/config/,
  /^types\/messages/,
  /Options(\.|$)/,
  /^(GatewayRequest|RichGatewayRequest|GenerationOptions|EmbeddingRequest|EmbeddingResult|CostRecord)\./,
  /^(Tool|JsonSchemaFormat|CacheOptions|ProviderResult|GatewayErrorPayload|Provider|ProviderDoneEvent)\./,
]

test('optional fields that users write say their default', () => {
  const written = all.filter(({ file, name, node }) => {
    return node.questionToken !== undefined && WRITTEN.some((pattern) => pattern.test(file) || pattern.test(name))
  })
  expect(written.length).toBeGreaterThan(100)
  const silent = written.filter(({ comment }) => !/Default:/.test(comment))
  expect(lacking(silent)).toEqual([])
})

test('deprecated members name what takes their place', () => {
  const deprecated = all.flatMap((entry) => {
    return entry.tags.filter(({ tagName }) => tagName.text === 'deprecated').map((tag) => ({ ...entry, tag }))
  })
  expect(deprecated.length).toBeGreaterThan(0)
  const names = new Set(all.map(({ name }) => name))
  const silent = deprecated.filter(({ name, tag }) => {
    const successor = /Use `(\w+)`/.exec(String(tag.comment))?.[1]
    return !names.has(`${name.slice(0, name.lastIndexOf('.'))}.${successor}`)
  })
  expect(lacking(silent)).toEqual([])
})

test('links lead somewhere', () => {
  const links = all.flatMap((entry) => linksOf(entry.node).map((link) => ({ ...entry, link })))
  expect(links.length).toBeGreaterThan(50)
  const dead = links.filter(({ link }) => checker.getSymbolAtLocation(link.name) === undefined)
  expect(dead.map(({ place, link }) => `${place} ${link.getText()}`)).toEqual([])
})

function linksOf(node) {
  const docs = ts.getJSDocCommentsAndTags(node).filter((doc) => ts.isJSDoc(doc) && doc.parent === node)
  const comments = [...docs, ...docs.flatMap((doc) => doc.tags ?? [])].map(({ comment }) => comment)
  return comments.flatMap((comment) => (Array.isArray(comment) ? comment.filter(ts.isJSDocLink) : []))
}

test('comments are short', () => {
  const long = all.filter(({ node, comment }) => comment.length > 420 && node.name?.getText() !== 'GatewayErrorKind')
  expect(lacking(long)).toEqual([])
})
