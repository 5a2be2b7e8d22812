import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['__test__/**/*.test.{js,cjs,mjs,ts,mts}'],
    // A process for each file: an addon that crashed would take its file with it, and no other.
    pool: 'forks',
    testTimeout: 20_000,
    hookTimeout: 20_000,
    // Node itself loads what is not a test, as it does for users: `import` and `require` then give the same objects.
    server: { deps: { external: [/^(?!.*\/__test__\/)/] } },
  },
})
