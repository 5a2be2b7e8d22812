import * as gateway from './index.js'

export * from './index.js'
export default gateway
