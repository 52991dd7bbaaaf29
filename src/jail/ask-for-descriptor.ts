/**
 * One request over a connection of its own that carries descriptors: libuv never touches it, so nothing is lost.
 * Waits without blocking, for many peers at once. The answer is hostile until it is parsed, and whatever came with
 * one that is refused is closed.
 */
import { closeSync } from 'node:fs';
import type { Clock } from '../base/clock.ts';
import { EmperorError, isErrno, messageOf } from '../base/errors.ts';
import { visible } from '../base/visible.ts';
import { ErrnoError, errnoName } from '../linux/errno.ts';
import type { Poller } from '../linux/poller.ts';
import {
  closeDescriptors,
  receiveWithDescriptors,
  sendWithDescriptors,
} from '../linux/unix-descriptors.ts';
import { connectUnix } from '../linux/unix-socket.ts';
import { Refusal } from './connection.ts';
import {
  encodeFrame,
  type Field,
  type Fields,
  type Frame,
  FrameError,
  FrameReader,
} from './frames.ts';
import { VERB } from './wire.ts';

export interface Patience {
  readonly poller: Poller;
  readonly clock: Clock;
  /** How long the answer may take, from the call on. */
  readonly deadlineMs: number;
}

export interface DescriptorRequest {
  /** Of the socket; of any length. */
  readonly path: string;
  /** For messages: `Cannot <what>: …`. */
  readonly what: string;
  readonly verb: number;
  readonly fields: readonly Field[];
  readonly send: readonly number[];
  /** How many descriptors the answer must bring. */
  readonly expected: 0 | 1;
  /** Told of the connection before anything is asked. */
  readonly onConnect?: (socket: number) => void;
}

export interface DescriptorAnswer {
  readonly fields: Fields;
  /** As many as were expected; they belong to the caller. */
  readonly fds: readonly number[];
}

const REQUEST_ID = 1;

/** One for all, since what is received is parsed in the same turn. */
const buffer = Buffer.alloc(16 * 1024);

/**
 * Asks and resolves to the answer. Throws a Refusal, or an EmperorError: `not-reachable`, `timeout`, or
 * `system-call` for an answer that breaks the protocol.
 */
export async function askForDescriptor(
  request: DescriptorRequest,
  patience: Patience,
): Promise<DescriptorAnswer> {
  const received: number[] = [];
  let socket = -1;
  try {
    socket = connectUnix(request.path);
    request.onConnect?.(socket);
    sendRequest(socket, request);
    const frame = await receiveFrame(socket, received, patience);
    return answerOf(frame, { expected: request.expected, received });
  } catch (error) {
    closeDescriptors(received);
    throw failureOf(request.what, error);
  } finally {
    if (socket >= 0) closeSync(socket);
  }
}

function sendRequest(socket: number, { verb, fields, send }: DescriptorRequest): void {
  const frame = encodeFrame({ verb, id: REQUEST_ID, fields });
  // A new connection has room for a frame as small as these.
  const sent = sendWithDescriptors(socket, frame, send);
  if (sent < frame.length) throw new FrameError(`${sent} of ${frame.length} bytes were taken`);
}

async function receiveFrame(
  socket: number,
  received: number[],
  { poller, clock, deadlineMs }: Patience,
): Promise<Frame> {
  const reader = new FrameReader();
  const until = clock.monotonic() + deadlineMs;
  for (;;) {
    await readable(socket, { poller, clock, deadlineMs: until - clock.monotonic() });
    const chunk = receiveSome(socket, received);
    if (chunk === null) continue;
    if (chunk.length === 0) throw new FrameError('it hung up');
    const [frame] = reader.push(chunk);
    if (frame) return frame;
  }
}

/** Returns what has come; null where readiness was a false alarm. */
function receiveSome(socket: number, received: number[]): Uint8Array | null {
  try {
    const { length, fds } = receiveWithDescriptors(socket, buffer);
    received.push(...fds);
    return buffer.subarray(0, length);
  } catch (error) {
    if (isErrno(error, 'EAGAIN')) return null;
    if (isErrno(error, 'EMSGSIZE')) throw new FrameError('it sent too many descriptors');
    throw error;
  }
}

function readable(fd: number, { poller, clock, deadlineMs }: Patience): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancel = poller.watch(fd, 'readable', () => {
      stopTimer();
      resolve();
    });
    const stopTimer = clock.after(Math.max(0, deadlineMs), () => {
      cancel();
      reject(new EmperorError('timeout', 'no answer came in time'));
    });
  });
}

function answerOf(
  frame: Frame,
  { expected, received }: { readonly expected: number; readonly received: readonly number[] },
): DescriptorAnswer {
  if (frame.id !== REQUEST_ID) throw new FrameError(`it answers request ${frame.id}`);
  if (frame.verb === VERB.ERROR) throw new Refusal(frame.fields);
  if (frame.verb !== VERB.OK) throw new FrameError(`it answers with verb ${frame.verb}`);
  if (received.length !== expected) {
    throw new FrameError(`it sent ${received.length} descriptors, not ${expected}`);
  }
  return { fields: frame.fields, fds: received };
}

function failureOf(what: string, error: unknown): unknown {
  if (error instanceof Refusal) return error;
  const text = `Cannot ${what}: ${messageOf(error)}`;
  if (error instanceof EmperorError) return new EmperorError(error.code, text, { cause: error });
  if (error instanceof FrameError) return new EmperorError('system-call', text, { cause: error });
  const isCall = error instanceof ErrnoError || isErrno(error, 'ENOENT', 'EACCES', 'ENOTDIR');
  return isCall ? new EmperorError('not-reachable', text, { cause: error }) : error;
}

/** Returns the error for an operator about a request that was refused. */
export function refusedRequest(what: string, refusal: Refusal): EmperorError {
  const about = refusal.detail === '' ? '' : ` (${visible(refusal.detail)})`;
  const message = `Cannot ${what}: ${errnoName(refusal.errno)}${about}`;
  return new EmperorError('system-call', message, { cause: refusal });
}
