// The way to the upstream: proxies, certificates, redirects, and how much is read.
import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { anthropic, formats, openai, stream } from './helpers/formats.mjs'
import { NETWORK, RESPONSE, ask, failure, gatewayOf, readAll } from './helpers/gateway.mjs'
import { closedPort, upstream } from './helpers/upstream.mjs'

afterEach(() => vi.unstubAllEnvs())

const answering = (content = 'Hello') => upstream((exchange) => exchange.reply(openai.whole(content)))

/** A proxy: `requests` hold what was asked of it, `tunnels` the CONNECTs, which lead to `target` or are refused. */
async function proxy(target) {
  const server = await upstream((exchange) => exchange.reply(openai.whole('by the proxy')))
  const tunnels = []
  server.server.on('connect', (request, socket, head) => {
    tunnels.push({ address: request.url, headers: request.headers })
    if (target === undefined) return socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
    const out = net.connect(target, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection Established\r\n\r\n')
      out.write(head)
      out.pipe(socket).pipe(out)
    })
    out.on('error', () => socket.destroy())
    socket.on('error', () => out.destroy())
  })
  return { ...server, tunnels }
}

describe('proxies', () => {
  test.each(['HTTP_PROXY', 'http_proxy'])('%s is asked for http: addresses', async (variable) => {
    const between = await proxy()
    vi.stubEnv(variable, between.url)
    const { gateway } = gatewayOf({ providers: [openai.entry('http://upstream.test')] })
    expect((await gateway.chat(ask())).content).toBe('by the proxy')
    expect(between.requests[0].path).toBe('http://upstream.test/v1/chat/completions')
    expect(between.requests[0].headers.host).toBe('upstream.test')
  })

  test('HTTP_PROXY carries streams', async () => {
    const between = await upstream((exchange) => exchange.events().end(stream(openai)))
    vi.stubEnv('HTTP_PROXY', between.url)
    const { gateway } = gatewayOf({ providers: [openai.entry('http://upstream.test')] })
    expect((await readAll((await gateway.chatStream(ask())).stream)).text).toBe('Hello')
  })

  test('HTTP_PROXY may need a name and a password, which show in no error', async () => {
    const between = await proxy()
    vi.stubEnv('HTTP_PROXY', between.url.replace('//', '//ada:proxy-password@'))
    const { gateway } = gatewayOf({ providers: [openai.entry('http://upstream.test')] })
    await gateway.chat(ask())
    expect(between.requests[0].headers['proxy-authorization']).toBe(`Basic ${btoa('ada:proxy-password')}`)

    vi.stubEnv('HTTP_PROXY', `http://ada:proxy-password@127.0.0.1:${await closedPort()}`)
    const broken = gatewayOf({ providers: [openai.entry('http://upstream.test')] })
    const error = await failure(broken.gateway.chat(ask()))
    expect(error).toMatchObject(NETWORK)
    expect(`${error.stack} ${JSON.stringify(error)}`).not.toContain('proxy-password')
  })

  test.each([
    ['an address', '127.0.0.1'],
    ['a list', 'example.test, 127.0.0.1 ,localhost'],
    ['everything', '*'],
    ['a network', '127.0.0.0/8'],
  ])('NO_PROXY is respected: %s', async (_, exempt) => {
    const between = await proxy()
    const server = await answering('directly')
    vi.stubEnv('HTTP_PROXY', between.url)
    vi.stubEnv('NO_PROXY', exempt)
    const { gateway } = gatewayOf({ providers: [openai.entry(server.url)] })
    expect((await gateway.chat(ask())).content).toBe('directly')
    expect(between.connections).toHaveLength(0)
  })

  test('NO_PROXY exempts no other host', async () => {
    const between = await proxy()
    vi.stubEnv('HTTP_PROXY', between.url)
    vi.stubEnv('NO_PROXY', 'example.test,localhost')
    const { gateway } = gatewayOf({ providers: [openai.entry('http://upstream.test')] })
    expect((await gateway.chat(ask())).content).toBe('by the proxy')
  })

  test('HTTPS_PROXY sees a CONNECT and nothing more', async () => {
    const between = await proxy()
    vi.stubEnv('HTTPS_PROXY', between.url)
    vi.stubEnv('TEST_KEY', 'sk-not-for-proxies')
    const auth = { type: 'apiKey', envVar: 'TEST_KEY' }
    const { gateway } = gatewayOf({ providers: [openai.entry('https://upstream.test', { auth })] })
    expect(await failure(gateway.chat(ask()))).toMatchObject(NETWORK)
    expect(between.tunnels.map(({ address }) => address)).toEqual(['upstream.test:443'])
    expect(JSON.stringify(between.tunnels)).not.toContain('sk-not-for-proxies')
    expect(between.requests).toHaveLength(0)
  })

  test('HTTPS_PROXY is not asked for http: addresses', async () => {
    const between = await proxy()
    const server = await answering('directly')
    vi.stubEnv('HTTPS_PROXY', between.url)
    const { gateway } = gatewayOf({ providers: [openai.entry(server.url)] })
    expect((await gateway.chat(ask())).content).toBe('directly')
    expect(between.connections).toHaveLength(0)
  })
})

describe('certificates', () => {
  const run = promisify(execFile)
  const library = createRequire(import.meta.url).resolve('../../index.js')
  let dir
  beforeAll(() => {
    dir = mkdtempSync(path.join(tmpdir(), 'gateway-tls-'))
    const openssl = (...args) => execFileSync('openssl', args, { cwd: dir, stdio: 'pipe' })
    const names = 'subjectAltName=DNS:localhost,IP:127.0.0.1'
    const key = (name) => ['-newkey', 'rsa:2048', '-nodes', '-keyout', `${name}.key`]
    for (const name of ['self', 'twin']) {
      openssl(
        'req',
        '-x509',
        ...key(name),
        '-out',
        `${name}.pem`,
        '-days',
        '2',
        '-subj',
        '/CN=localhost',
        '-addext',
        names,
      )
    }
    openssl('req', '-x509', ...key('ca'), '-out', 'ca.pem', '-days', '2', '-subj', '/CN=Test authority')
    openssl('req', ...key('leaf'), '-out', 'leaf.csr', '-subj', '/CN=localhost')
    writeFileSync(path.join(dir, 'leaf.ext'), `${names}\n`)
    const signing = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', 'leaf.ext']
    openssl('x509', '-req', '-in', 'leaf.csr', ...signing, '-out', 'leaf.pem', '-days', '2')
    writeFileSync(
      path.join(dir, 'several.pem'),
      `# ours\n${readFileSync(path.join(dir, 'self.pem'))}\n${readFileSync(path.join(dir, 'ca.pem'))}`,
    )
  })
  afterAll(() => rmSync(dir, { recursive: true, force: true }))

  const secure = (name) =>
    upstream((exchange) => exchange.reply(openai.whole()), {
      tls: { key: readFileSync(path.join(dir, `${name}.key`)), cert: readFileSync(path.join(dir, `${name}.pem`)) },
    })

  /** What a process of its own gets to hear: its `content`, or its error's `code`. */
  async function chatInChild(url, env) {
    const config = {
      providers: [openai.entry(url)],
      routes: [{ name: 'all', priority: 0, match: {}, target: { provider: 'p' } }],
      fallbackChains: [],
      budgets: [],
    }
    const program = `
      const { Gateway } = require(${JSON.stringify(library)})
      const gateway = new Gateway({ config: ${JSON.stringify(config)}, onUsageLog() {} })
      gateway.chat({ messages: [{ role: 'user', content: 'hi' }] })
        .then(({ content }) => ({ content }), ({ code, message }) => ({ code, message }))
        .then((result) => console.log(JSON.stringify(result)))`
    const { stdout } = await run(process.execPath, ['-e', program], { env: { ...process.env, ...env } })
    return JSON.parse(stdout)
  }

  test('that nobody vouches for are refused', async () => {
    const server = await secure('leaf')
    expect(await chatInChild(server.url, {})).toMatchObject({ code: 'PROVIDER_NETWORK' })
    expect(server.requests).toHaveLength(0)
  })

  test.each([
    ['of an authority', 'leaf', 'ca.pem'],
    ['signed by itself', 'self', 'self.pem'],
    ['of one authority among several', 'leaf', 'several.pem'],
  ])('in NODE_EXTRA_CA_CERTS are trusted: one %s', async (_, name, file) => {
    const server = await secure(name)
    const env = { NODE_EXTRA_CA_CERTS: path.join(dir, file) }
    expect(await chatInChild(server.url, env)).toEqual({ content: 'Hello' })
    expect(await chatInChild(server.url.replace('127.0.0.1', 'localhost'), env)).toEqual({ content: 'Hello' })
  })

  test('that only look like one in NODE_EXTRA_CA_CERTS are refused', async () => {
    const server = await secure('twin')
    const env = { NODE_EXTRA_CA_CERTS: path.join(dir, 'self.pem') }
    expect(await chatInChild(server.url, env)).toMatchObject({ code: 'PROVIDER_NETWORK' })
    expect(server.requests).toHaveLength(0)
  })

  test.each([
    ['leaf', 'ca.pem'],
    ['self', 'self.pem'],
  ])('are checked against the name that was asked for: %s', async (name, file) => {
    const server = await secure(name)
    const between = await proxy(server.port)
    const env = { NODE_EXTRA_CA_CERTS: path.join(dir, file), HTTPS_PROXY: between.url }
    expect(await chatInChild('https://elsewhere.test', env)).toMatchObject({ code: 'PROVIDER_NETWORK' })
    expect(server.requests).toHaveLength(0)
  })

  test('are checked through the tunnel of HTTPS_PROXY', async () => {
    const server = await secure('leaf')
    const between = await proxy(server.port)
    const env = { NODE_EXTRA_CA_CERTS: path.join(dir, 'ca.pem'), HTTPS_PROXY: between.url }
    expect(await chatInChild('https://localhost:8443', env)).toEqual({ content: 'Hello' })
    expect(between.tunnels.map(({ address }) => address)).toEqual(['localhost:8443'])
  })
})

describe('redirects', () => {
  const keyed = { auth: { type: 'apiKey', envVar: 'TEST_KEY' }, headers: { 'x-tenant': 'tenant-token-98765' } }
  const answer = (exchange) => exchange.reply(exchange.path.endsWith('messages') ? anthropic.whole() : openai.whole())

  test.each(formats)('$family: within the origin, everything is sent again', async (format) => {
    vi.stubEnv('TEST_KEY', 'sk-the-key')
    const server = await upstream((exchange) => {
      if (exchange.path.startsWith('/new')) answer(exchange)
      else exchange.reply('', { status: 307, headers: { location: `/new${exchange.path}` } })
    })
    const { gateway } = gatewayOf({ providers: [format.entry(server.url, keyed)] })
    expect((await gateway.chat(ask())).content).toBe('Hello')
    const [first, second] = server.requests
    expect(second.method).toBe('POST')
    expect(second.body).toBe(first.body)
    expect(second.headers).toMatchObject({ 'x-tenant': 'tenant-token-98765' })
    expect(second.headers.authorization ?? second.headers['x-api-key']).toMatch(/sk-the-key$/)
  })

  test.each(formats.flatMap((format) => [307, 308].map((status) => [format.family, status, format])))(
    '%s: a %i to another origin carries no key and no header of the entry',
    async (_, status, format) => {
      vi.stubEnv('TEST_KEY', 'sk-the-key')
      const elsewhere = await upstream(answer)
      const server = await upstream((exchange) =>
        exchange.reply('', { status, headers: { location: elsewhere.url + exchange.path } }),
      )
      const { gateway } = gatewayOf({ providers: [format.entry(server.url, keyed)] })
      await gateway.chat(ask()).catch(() => {})
      for (const { headers } of elsewhere.requests) {
        expect(JSON.stringify(headers)).not.toContain('sk-the-key')
        expect(JSON.stringify(headers)).not.toContain('tenant-token-98765')
      }
    },
  )

  test('a redirect to another host is refused unless redirectHosts names the host', async () => {
    vi.stubEnv('TEST_KEY', 'sk-the-key')
    const elsewhere = await upstream(answer)
    const location = elsewhere.url.replace('127.0.0.1', 'localhost')
    const server = await upstream((exchange) =>
      exchange.reply('', { status: 308, headers: { location: location + exchange.path } }),
    )
    const { gateway } = gatewayOf({ providers: [openai.entry(server.url, keyed)] })
    const error = await failure(gateway.chat(ask()))
    expect(error).toMatchObject(RESPONSE)
    expect(error.message).toContain('redirectHosts')
    expect(elsewhere.requests).toHaveLength(0)

    const entry = openai.entry(server.url, { ...keyed, redirectHosts: ['localhost'] })
    expect((await gatewayOf({ providers: [entry] }).gateway.chat(ask())).content).toBe('Hello')
    expect(JSON.stringify(elsewhere.requests[0].headers)).not.toContain('sk-the-key')
  })

  test('there and back again carries no key either', async () => {
    vi.stubEnv('TEST_KEY', 'sk-the-key')
    const elsewhere = await upstream((exchange) =>
      exchange.reply('', { status: 307, headers: { location: `${server.url}/back` } }),
    )
    const server = await upstream((exchange) => {
      if (exchange.path === '/back') answer(exchange)
      else exchange.reply('', { status: 307, headers: { location: elsewhere.url } })
    })
    const { gateway } = gatewayOf({ providers: [openai.entry(server.url, keyed)] })
    await gateway.chat(ask()).catch(() => {})
    for (const { headers } of server.requests.slice(1)) expect(JSON.stringify(headers)).not.toContain('sk-the-key')
  })

  test('without end are given up', async () => {
    const server = await upstream((exchange) =>
      exchange.reply('', { status: 307, headers: { location: exchange.path } }),
    )
    const { gateway } = gatewayOf({ providers: [openai.entry(server.url)] })
    expect((await failure(gateway.chat(ask()))).code).toMatch(/^PROVIDER_(NETWORK|RESPONSE)$/)
    expect(server.requests.length).toBeLessThan(25)
  })

  test('that would turn the call into another one are not followed', async () => {
    const server = await upstream((exchange) =>
      exchange.reply('', { status: 302, headers: { location: '/elsewhere' } }),
    )
    const { gateway } = gatewayOf({ providers: [openai.entry(server.url)] })
    expect(await failure(gateway.chat(ask()))).toMatchObject({ ...RESPONSE, details: { upstreamStatus: 302 } })
    expect(server.requests).toHaveLength(1)
  })
})

describe('an answer that is too long', () => {
  const MIB = 1024 * 1024

  /** Writes `total` bytes of a body, as fast as they are taken, for as long as someone reads; returns what was written. */
  async function pour(exchange, begin, total) {
    const piece = 'x'.repeat(64 * 1024)
    exchange.write(begin)
    let written = 0
    while (written < total && exchange.connection.closedAt === undefined) {
      written += piece.length
      if (!exchange.res.write(piece))
        await Promise.race([new Promise((resolve) => exchange.res.once('drain', resolve)), exchange.closed])
    }
    return written
  }

  test.each(formats)('$family: is refused while it is read', async (format) => {
    let written
    const server = await upstream(async (exchange) => {
      written = await pour(exchange.head(), '{"model":"', 64 * MIB)
    })
    const { gateway, logs } = gatewayOf({ providers: [format.entry(server.url, { maxResponseBytes: 10_000 })] })
    const error = await failure(gateway.chat(ask()))
    expect(error).toMatchObject({ ...RESPONSE, provider: 'p' })
    expect(error.message).toContain('maxResponseBytes')
    await server.requests[0].closed
    expect(logs).toHaveLength(1)
    await vi.waitFor(() => expect(written).toBeLessThan(64 * MIB))
  })

  test('is refused at once when its length is announced', async () => {
    const server = await upstream((exchange) => exchange.head({ 'content-length': 10_001 }))
    const { gateway } = gatewayOf({ providers: [openai.entry(server.url, { maxResponseBytes: 10_000 })] })
    expect((await failure(gateway.chat(ask()))).message).toContain('maxResponseBytes')
    await server.requests[0].closed
  })

  test('just at the limit is read', async () => {
    const text = JSON.stringify(openai.whole('x'.repeat(5000)))
    const server = await upstream((exchange) => exchange.reply(text))
    const limited = (maxResponseBytes) =>
      gatewayOf({ providers: [openai.entry(server.url, { maxResponseBytes })] }).gateway
    expect((await limited(text.length).chat(ask())).content).toHaveLength(5000)
    expect((await failure(limited(text.length - 1).chat(ask()))).message).toContain('maxResponseBytes')
  })

  test('ends a stream whose events add up to too much', async () => {
    const server = await upstream(async (exchange) => {
      exchange.events().write(openai.start)
      while (exchange.connection.closedAt === undefined) await exchange.trickle(5, [openai.delta('x'.repeat(1000))])
    })
    const { gateway, logs } = gatewayOf({ providers: [openai.entry(server.url, { maxResponseBytes: 10_000 })] })
    const { text, error } = await readAll((await gateway.chatStream(ask())).stream)
    expect(text).toMatch(/^x+$/)
    expect(error).toMatchObject(RESPONSE)
    expect(error.message).toContain('maxResponseBytes')
    await server.requests[0].closed
    expect(logs).toHaveLength(1)
  })

  test('ends a stream with one event without end', async () => {
    const server = await upstream((exchange) =>
      pour(exchange.events(), 'data: {"choices":[{"delta":{"content":"', 64 * MIB),
    )
    const { gateway } = gatewayOf({ providers: [openai.entry(server.url, { maxResponseBytes: 100_000 })] })
    expect((await failure(gateway.chatStream(ask()))).message).toContain('maxResponseBytes')
    await server.requests[0].closed
  })

  test('is one of more than 32 MiB where the entry says nothing', async () => {
    const size = 33 * MIB
    const server = await upstream(async (exchange) => {
      if (exchange.json.stream) {
        exchange.events().write(openai.start, openai.delta('a'))
        await pour(exchange, ': ', size)
      } else {
        await pour(exchange.head(), '{"model":"', size)
        exchange.res.end('"}')
      }
    })
    const { gateway } = gatewayOf({ providers: [openai.entry(server.url)] })
    expect((await failure(gateway.chat(ask()))).message).toContain('maxResponseBytes')
    const { error } = await readAll((await gateway.chatStream(ask())).stream)
    expect(error.message).toContain('maxResponseBytes')
  })

  test('is not one of 31 MiB', async () => {
    const content = 'x'.repeat(31 * MIB)
    const server = await upstream((exchange) => exchange.reply(openai.whole(content)))
    const { gateway } = gatewayOf({ providers: [openai.entry(server.url)] })
    expect((await gateway.chat(ask())).content.length).toBe(content.length)
  })

  test('of an error is quoted from its beginning', async () => {
    const server = await upstream((exchange) => pour(exchange.head({}, 500), 'overloaded ', 64 * MIB))
    const { gateway } = gatewayOf({ providers: [openai.entry(server.url)] })
    const error = await failure(gateway.chat(ask()))
    expect(error.message).toMatch(/^Provider "p" returned 500: overloaded x+$/)
    await server.requests[0].closed
  })
})
