import { expect, test } from 'vitest'
import { answerOnce } from './answer.mjs'

test('the second worker thread gets an answer', async () => {
  expect(await answerOnce()).not.toBe('')
})
