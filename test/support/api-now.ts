/**
 * The API's client for tests: it answers within the call, so that an expectation can be written over it. A thread does
 * the asking, over the unix socket, in a millisecond or two where a process of the CLI takes a tenth of a second.
 */
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads';
import type { ApiClient } from '../../src/api/client.ts';
import { EmperorError } from '../../src/base/errors.ts';
import { patienceMs } from './slowness.ts';

/** What gives one answer. */
type Verb = Exclude<keyof ApiClient, 'socketPath' | 'events'>;

/** What the thread sends back. */
export type Reply =
  | { readonly answer: unknown }
  | { readonly failure: Pick<EmperorError, 'code' | 'message' | 'diagnostics'> }
  | { readonly bug: string };

/** More than any wait of a test. */
const PATIENCE_MS = patienceMs(90_000);

let thread: Worker | null = null;

/** Asks the emperor that listens at `socketPath`; throws what ApiClient throws. */
export function askNow<V extends Verb>(
  socketPath: string,
  verb: V,
  ...args: Parameters<ApiClient[V]>
): Awaited<ReturnType<ApiClient[V]>> {
  thread ??= startThread();
  const { port1, port2 } = new MessageChannel();
  // Of this call alone: an answer that comes too late must not wake the next one.
  const signal = new Int32Array(new SharedArrayBuffer(4));
  thread.postMessage({ socketPath, verb, args, port: port2, signal }, [port2]);
  Atomics.wait(signal, 0, 0, PATIENCE_MS);
  const reply = receiveMessageOnPort(port1)?.message as Reply | undefined;
  port1.close();
  if (!reply) throw new Error(`the emperor has not answered ${verb} for ${PATIENCE_MS / 1000} s`);
  if ('bug' in reply) throw new Error(reply.bug);
  if ('failure' in reply) throw errorOf(reply.failure);
  // What ApiClient[V] resolved to, copied from one thread to another.
  return reply.answer as Awaited<ReturnType<ApiClient[V]>>;
}

function startThread(): Worker {
  const worker = new Worker(new URL('api-now-worker.mjs', import.meta.url), { execArgv: [] });
  worker.unref();
  return worker;
}

function errorOf({
  code,
  message,
  diagnostics,
}: Pick<EmperorError, 'code' | 'message' | 'diagnostics'>) {
  return new EmperorError(code, message, { diagnostics });
}
