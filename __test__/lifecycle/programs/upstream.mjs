// An upstream in a process of its own; prints its address and ends with its standard input.
import { answer, begin, chunk, FINISH, serve, sleep, stall } from './server.mjs'

const LATE_MS = 600

const { url } = await serve({
  answer,
  begin,
  stall,
  async late(res, body) {
    await sleep(LATE_MS)
    answer(res, body)
  },
  async latestream(res) {
    begin(res)
    await sleep(LATE_MS)
    res.end(chunk('late') + FINISH)
  },
})
console.log(url)
process.stdin.on('end', () => process.exit()).resume()
