// AWS's binary event stream, as Bedrock sends it. Source: AWS documentation, "Event stream encoding".

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? 0xedb88320 ^ (byte >>> 1) : byte >>> 1
  return byte >>> 0
})

/** The checksum of IEEE 802.3. `zlib.crc32` is not in every Node.js that runs these tests. */
export function crc32(bytes) {
  let crc = 0xffffffff
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8)
  return (crc ^ 0xffffffff) >>> 0
}

function uint32(value) {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

const STRING = 7

function header([name, value]) {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(Buffer.byteLength(value))
  return Buffer.concat([
    Buffer.from([Buffer.byteLength(name)]),
    Buffer.from(name),
    Buffer.from([STRING]),
    length,
    Buffer.from(value),
  ])
}

/** Lengths and their checksum, headers of text, the payload as JSON, and the checksum of all of it. */
export function frame(headers, payload) {
  const head = Buffer.concat(Object.entries(headers).map(header))
  const body = Buffer.from(JSON.stringify(payload))
  const lengths = Buffer.concat([uint32(16 + head.length + body.length), uint32(head.length)])
  const message = Buffer.concat([lengths, uint32(crc32(lengths)), head, body])
  return Buffer.concat([message, uint32(crc32(message))])
}

/** One event of a Converse stream; `p` is the padding that hides the length of texts. */
export const converseEvent = (type, payload) =>
  frame(
    { ':event-type': type, ':content-type': 'application/json', ':message-type': 'event' },
    { ...payload, p: 'abcdefgh' },
  )

/** A whole stream as an answer of an upstream; an event is `[type, payload]`. */
export const converseStream = (...events) => ({
  headers: { 'content-type': 'application/vnd.amazon.eventstream' },
  body: Buffer.concat(events.map(([type, payload]) => converseEvent(type, payload))),
})
