'use strict';

// Calls providers that are objects of JavaScript, on behalf of the native core.

const { GatewayError } = require('./errors.js');

// Chunks a provider may be ahead of the reader before its iterator rests.
const AHEAD = 256;

/** Streams of custom providers under way, by callback number. */
const streams = new Map();

/** `message` is `[kind, call, callback, provider, model, maxTokens, stream]`. */
function callCustom(bridge, owner, [, , callback, index, model, maxTokens, stream]) {
  const call = owner?.call ?? owner;
  if (call === undefined) return bridge.customFailed(callback, JSON.stringify({ id: 0, message: 'the call has ended' }));
  const provider = call.customs[index];
  const { messages, temperature } = call.request;
  const options = { model, messages, maxTokens: call.request.maxTokens ?? maxTokens ?? undefined, temperature };
  if (stream) options.stream = true;
  const run = stream ? runStream : runChat;
  call.context.runInAsyncScope(run, undefined, bridge, callback, provider, options, call).catch((error) => {
    const id = call.thrown.push(error) - 1;
    bridge.customFailed(callback, JSON.stringify({ id, ...describe(error) }));
  });
}

// What the core must know of an error to choose the next step; the error itself stays here.
function describe(error) {
  if (GatewayError.isInstance(error)) return { message: String(error.message), kind: error.kind, code: error.code };
  if (error instanceof NotStreaming) return { message: error.message, kind: 'provider_response' };
  return { message: error instanceof Error ? String(error.message) : String(error) };
}

class NotStreaming extends Error {}
Object.defineProperty(NotStreaming.prototype, 'name', { value: 'Error' });

async function runChat(bridge, callback, provider, options, call) {
  const result = await provider.chat(options);
  call.answers?.set(provider, result);
  bridge.customDone(callback, JSON.stringify(result) ?? 'null');
}

async function runStream(bridge, callback, provider, options) {
  if (typeof provider.chatStream !== 'function') {
    throw new NotStreaming(`Provider "${provider.name}" does not support streaming`);
  }
  const result = await provider.chatStream(options);
  const iterator = result.stream[Symbol.asyncIterator]?.() ?? result.stream[Symbol.iterator]();
  const state = { iterator, cancelled: false, ahead: 0, resume: undefined };
  streams.set(callback, state);
  try {
    while (!state.cancelled) {
      const { value, done } = await iterator.next();
      if (done) {
        const usage = await result.getUsage?.();
        bridge.customDone(callback, JSON.stringify(usage) ?? 'null');
        return;
      }
      if (state.cancelled || !bridge.customChunks(callback, JSON.stringify([value]))) break;
      if (++state.ahead >= AHEAD) await new Promise((resolve) => (state.resume = resolve));
    }
  } finally {
    streams.delete(callback);
  }
}

/** Nobody waits for this callback any more: its iterator is closed. */
function cancelCustom(callback) {
  const state = streams.get(callback);
  if (state === undefined) return;
  state.cancelled = true;
  state.resume?.();
  // A provider's own clean-up may fail; the call it belongs to has ended.
  Promise.resolve()
    .then(() => state.iterator.return?.())
    .catch(() => {});
}

function resumeCustom(callback) {
  const state = streams.get(callback);
  if (state === undefined) return;
  state.ahead -= AHEAD / 2;
  state.resume?.();
  state.resume = undefined;
}

module.exports = { callCustom, cancelCustom, resumeCustom };
