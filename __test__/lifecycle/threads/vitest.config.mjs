import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

// Two files, each in a worker thread of its own, one after the other: the process itself never loads the addon.
export default defineConfig({
  test: {
    root: fileURLToPath(new URL('.', import.meta.url)),
    include: ['*.spec.mjs'],
    pool: 'threads',
    maxWorkers: 1,
    fileParallelism: false,
    server: { deps: { external: [/^(?!.*\/threads\/)/] } },
  },
})
