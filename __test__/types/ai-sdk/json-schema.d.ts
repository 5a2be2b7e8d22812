// `@ai-sdk/provider` leaves the types of JSON Schema to `@types/json-schema`.
declare module 'json-schema' {
  export type JSONSchema7 = { [keyword: string]: unknown }
  export type JSONSchema7Definition = JSONSchema7 | boolean
}
