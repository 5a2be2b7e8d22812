// Where a test keeps its files.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { onTestFinished } from 'vitest'

/** A folder that goes with the test. */
export async function folder() {
  const made = await mkdtemp(path.join(tmpdir(), 'ai-gateway-'))
  onTestFinished(() => rm(made, { recursive: true, force: true }))
  return made
}
