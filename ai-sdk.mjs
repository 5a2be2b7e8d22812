import aiSdk from './ai-sdk.js'

export const { createGatewayProvider } = aiSdk
