// The package's declarations, as the compiler reads them.
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** The entry points, and what users import them as. */
const ENTRIES = { 'index.d.ts': '', 'lib/allowlist.d.ts': '/allowlist', 'lib/ai-sdk/index.d.ts': '/ai-sdk' }

const program = ts.createProgram(
  Object.keys(ENTRIES).map((file) => path.join(root, file)),
  { noLib: true, types: [], module: ts.ModuleKind.NodeNext },
)
export const checker = program.getTypeChecker()

/** What an entry point exports: `{name: symbol}`, re-exports resolved. */
export function exportsOf(file) {
  const source = program.getSourceFile(path.join(root, file))
  const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(source))
  return Object.fromEntries(exported.map((symbol) => [symbol.name, resolved(symbol)]))
}

function resolved(symbol) {
  return symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
}

/** Texts of the literals in a type of the main entry point: `literals('ProviderConfig', 'provider')`. */
export function literals(name, ...members) {
  let type = checker.getDeclaredTypeOfSymbol(exportsOf('index.d.ts')[name])
  for (const member of members) type = checker.getNonNullableType(checker.getTypeOfSymbol(type.getProperty(member)))
  return (type.isUnion() ? type.types : [type]).filter((part) => part.isStringLiteral()).map((part) => part.value)
}

/** Every declaration file of the package's own. */
export const sources = program.getSourceFiles().filter(({ fileName }) => {
  const place = path.relative(root, fileName)
  return place.endsWith('.d.ts') && !place.startsWith('..') && !place.includes('node_modules')
})

/**
 * Every exported declaration and every member of one, at any depth: `{place, name, node, comment}`. `comment` is the text of
 * its JSDoc, tags aside; empty where there is none.
 */
export function* declarations() {
  for (const source of sources) {
    const file = path.relative(root, source.fileName)
    for (const statement of source.statements) {
      if (!isExported(statement)) continue
      const name = statement.name?.text ?? statement.declarationList?.declarations[0].name.text
      yield entry(file, name, statement)
      yield* membersOf(file, name, statement)
    }
  }
}

function* membersOf(file, owner, node) {
  const children = []
  ts.forEachChild(node, (child) => void children.push(child))
  for (const child of children) {
    const isMember = (ts.isTypeElement(child) || ts.isClassElement(child)) && !ts.isFunctionTypeNode(child)
    const name = isMember ? `${owner}.${nameOf(child)}` : owner
    if (isMember) yield entry(file, name, child)
    yield* membersOf(file, name, child)
  }
}

function entry(file, name, node) {
  const docs = ts.getJSDocCommentsAndTags(node).filter((doc) => ts.isJSDoc(doc) && doc.parent === node)
  const text = docs.map((doc) => ts.getTextOfJSDocComment(doc.comment) ?? '').join('\n')
  const { line } = node.getSourceFile().getLineAndCharacterOfPosition(node.getStart())
  return { file, place: `${file}:${line + 1}`, name, node, comment: text.trim(), tags: ts.getJSDocTags(node) }
}

function isExported(statement) {
  if (ts.isImportDeclaration(statement) || ts.isExportDeclaration(statement)) return false
  return statement.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) ?? false
}

function nameOf(member) {
  if (member.name !== undefined) return member.name.getText()
  if (ts.isConstructorDeclaration(member)) return 'constructor'
  return ts.isIndexSignatureDeclaration(member) ? '[index]' : '()'
}
