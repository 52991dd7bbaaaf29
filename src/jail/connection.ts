/**
 * A connection to the launcher or to an init: requests that are answered by id, many in flight, and events.
 * What the words mean is the business of launcher-client.ts and init-client.ts.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { basename, dirname } from 'node:path';
import { type Clock, systemClock } from '../base/clock.ts';
import { EmperorError, messageOf } from '../base/errors.ts';
import { encodeFrame, type Field, type Fields, type Frame, FrameReader } from './frames.ts';
import { TAG, VERB } from './wire.ts';

export interface ConnectionOptions {
  readonly clock?: Clock;
  /** How long an answer may take; 10 s if not said. */
  readonly timeoutMs?: number;
}

/** The other side answered with ERROR. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly errno: number;
  /** The path or command concerned; the other side's words, not ours. */
  readonly detail: string;
  /** Index of the step of the plan that failed, if it was one. */
  readonly step: number | null;

  constructor(fields: Fields) {
    const errno = fields.optional(TAG.ERRNO, (one) => one.number(TAG.ERRNO), 0);
    const detail = fields.optional(TAG.DETAIL, (one) => one.text(TAG.DETAIL), '');
    super(`refused with errno ${errno}: ${detail}`);
    this.errno = errno;
    this.detail = detail;
    this.step = fields.optional(TAG.STEP, (one) => one.number(TAG.STEP), null);
  }
}

interface Pending {
  readonly resolve: (fields: Fields) => void;
  readonly reject: (error: Error) => void;
  readonly stopTimer: () => void;
}

const DEFAULT_TIMEOUT_MS = 10_000;
/** sun_path holds 108 bytes, the last of which is NUL (unix(7)). */
const MAX_SOCKET_PATH_BYTES = 107;
/** From fcntl.h; Node has no name for it. Same number on x86_64 and arm64. */
const O_PATH = 0o10000000;

export class Connection {
  readonly #socket: Socket;
  readonly #peer: string;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #reader = new FrameReader();
  readonly #pending = new Map<number, Pending>();
  readonly #events = new Mailbox<Frame>();
  readonly #closed = new Mailbox<void>();
  #lastId = 0;
  #end: EmperorError | null = null;

  private constructor(socket: Socket, peer: string, options: ConnectionOptions) {
    this.#socket = socket;
    this.#peer = peer;
    this.#clock = options.clock ?? systemClock;
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('error', (error) => this.#finish(error));
    socket.on('close', () => this.#finish(null));
  }

  /** Connects to `path`, however long; throws `not-reachable`. `peer` is what messages call it. */
  static async connect(
    path: string,
    options: ConnectionOptions & { readonly peer: string },
  ): Promise<Connection> {
    try {
      return new Connection(await openSocket(path), options.peer, options);
    } catch (error) {
      throw new EmperorError(
        'not-reachable',
        `Cannot connect to ${options.peer}: ${messageOf(error)}`,
        { cause: error },
      );
    }
  }

  /** Sends a request and resolves to the fields of its answer; rejects with a Refusal on ERROR. */
  request(
    verb: number,
    fields: readonly Field[],
    options: { readonly timeoutMs?: number } = {},
  ): Promise<Fields> {
    if (this.#end) return Promise.reject(this.#end);
    const id = this.#nextId();
    const frame = encodeFrame({ verb, id, fields });
    return new Promise((resolve, reject) => {
      const timeoutMs = options.timeoutMs ?? this.#timeoutMs;
      const stopTimer = this.#clock.after(timeoutMs, () => this.#expire(id, timeoutMs));
      this.#pending.set(id, { resolve, reject, stopTimer });
      this.#socket.write(frame);
    });
  }

  /** Events that came before there was a listener are kept for the first one. */
  onEvent(listener: (frame: Frame) => void): void {
    this.#events.listen(listener);
  }

  /** Called once when the connection has ended, at once if it has already. */
  onClose(listener: () => void): void {
    this.#closed.listen(listener);
  }

  close(): void {
    this.#socket.destroy();
    this.#finish(null);
  }

  #nextId(): number {
    // 0 is for events; the number of requests in flight is far below 2^32.
    this.#lastId = (this.#lastId % 0xffff_ffff) + 1;
    return this.#lastId;
  }

  #read(chunk: Buffer): void {
    try {
      for (const frame of this.#reader.push(chunk)) this.#take(frame);
    } catch (error) {
      // A FrameError, of the reader or of who reads an event: what follows cannot be trusted either.
      this.#finish(error);
      this.#socket.destroy();
    }
  }

  #take(frame: Frame): void {
    if (frame.id === 0) return this.#events.post(frame);
    // An answer that nobody waits for came after its timeout.
    const pending = this.#settle(frame.id);
    if (frame.verb === VERB.ERROR) pending?.reject(new Refusal(frame.fields));
    else pending?.resolve(frame.fields);
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    pending?.stopTimer();
    return pending;
  }

  #expire(id: number, timeoutMs: number): void {
    const message = `Cannot get an answer from ${this.#peer}: none came within ${timeoutMs} ms`;
    this.#settle(id)?.reject(new EmperorError('timeout', message));
  }

  #finish(cause: unknown): void {
    if (this.#end) return;
    const why = cause === null ? 'the connection is closed' : messageOf(cause);
    this.#end = new EmperorError('not-reachable', `Cannot ask ${this.#peer}: ${why}`, { cause });
    for (const id of [...this.#pending.keys()]) this.#settle(id)?.reject(this.#end);
    this.#closed.post();
  }
}

/** Hands values to its listeners; keeps them until there is one. */
class Mailbox<T> {
  readonly #listeners: ((value: T) => void)[] = [];
  #kept: T[] = [];

  post(value: T): void {
    if (this.#listeners.length === 0) this.#kept.push(value);
    for (const listener of this.#listeners) listener(value);
  }

  listen(listener: (value: T) => void): void {
    this.#listeners.push(listener);
    const kept = this.#kept;
    this.#kept = [];
    for (const value of kept) queueMicrotask(() => listener(value));
  }
}

async function openSocket(path: string): Promise<Socket> {
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return connected(createConnection(path));
  // The directory as a descriptor makes any path short. O_PATH needs no right to read it.
  const directory = openSync(dirname(path), O_PATH | constants.O_DIRECTORY);
  try {
    return await connected(createConnection(`/proc/self/fd/${directory}/${basename(path)}`));
  } finally {
    closeSync(directory);
  }
}

function connected(socket: Socket): Promise<Socket> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}
