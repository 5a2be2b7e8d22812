import aiSdk from './index.js'

export const { createGatewayProvider } = aiSdk
