/**
 * A connection to the launcher or to an init: requests that are answered by id, many in flight, and events.
 * What the words mean is the business of launcher-client.ts and init-client.ts.
 */
import { createConnection, type Socket } from 'node:net';
import { type Clock, systemClock } from '../base/clock.ts';
import { EmperorError, messageOf } from '../base/errors.ts';
import { shortPath } from '../base/socket-path.ts';
import { peerCredentials } from '../linux/peercred.ts';
import {
  encodeFrame,
  type Field,
  type Fields,
  type Frame,
  FrameError,
  FrameReader,
} from './frames.ts';
import { TAG, VERB } from './wire.ts';

export interface ConnectionOptions {
  readonly clock?: Clock;
  /** How long an answer may take; 10 s if not said. */
  readonly timeoutMs?: number;
}

/** Bytes; what is said in earnest is shorter, and goes to logs and events. */
const MAX_DETAIL = 1024;

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
    const detail = fields.optional(TAG.DETAIL, (one) => one.text(TAG.DETAIL, MAX_DETAIL), '');
    super(`refused with errno ${errno}: ${detail}`);
    this.errno = errno;
    this.detail = detail;
    this.step = fields.optional(TAG.STEP, (one) => one.number(TAG.STEP), null);
  }
}

/** What a client knows and the connection does not. */
export interface Dialect<Event> {
  /** What messages call the other side. */
  readonly peer: string;
  /** Returns the event in a frame, null if it is none of interest; throws a FrameError. */
  readonly readEvent: (frame: Frame) => Event | null;
  /** It may be in the hands of somebody who wants to keep us busy. */
  readonly mayFlood?: true;
}

/** A request: what is sent, and how its answer is read. */
export interface Request<Answer> {
  readonly verb: number;
  readonly fields: readonly Field[];
  /** Throws a FrameError. */
  readonly read: (fields: Fields) => Answer;
  readonly timeoutMs?: number;
}

export interface ListBounds {
  /** Entries. */
  readonly atMost: number;
  /** How long the next page may take. */
  readonly patienceMs: () => number;
}

/** Asks by LIST, page by page, until there are no more entries. */
export async function listAll<Entry>(
  ask: (request: Request<Page<Entry>>) => Promise<Page<Entry>>,
  entryOf: (fields: Fields) => Entry,
  bounds?: ListBounds,
): Promise<readonly Entry[]> {
  const all: Entry[] = [];
  const pageOf = (fields: Fields): Page<Entry> => {
    const entries = fields.entries(TAG.ENTRY);
    const next = fields.optional(TAG.NUMBER, (one) => one.number(TAG.NUMBER), null);
    const isTooLong = bounds !== undefined && all.length + entries.length > bounds.atMost;
    if (isTooLong || (next !== null && entries.length === 0))
      throw new FrameError('a list without end');
    return { entries: entries.map(entryOf), next };
  };
  for (let from: number | null = 0; from !== null; ) {
    const page: Page<Entry> = await ask({
      ...{ verb: VERB.LIST, fields: [[TAG.NUMBER, from]], read: pageOf },
      ...(bounds && { timeoutMs: bounds.patienceMs() }),
    });
    all.push(...page.entries);
    from = page.next;
  }
  return all;
}

interface Page<Entry> {
  readonly entries: readonly Entry[];
  /** Where the next page begins; null after the last. */
  readonly next: number | null;
}

/** How a process ended, as launcher and init tell it. */
export interface ExitStatus {
  /** As waitpid(2) gives it. */
  readonly status: number;
  readonly userTimeUs: number;
  readonly systemTimeUs: number;
  readonly maxRssKb: number;
  readonly endedAtMs: number;
}

export function exitStatusOf(fields: Fields): ExitStatus {
  return {
    status: fields.number(TAG.STATUS),
    userTimeUs: fields.number(TAG.UTIME_US),
    systemTimeUs: fields.number(TAG.STIME_US),
    maxRssKb: fields.number(TAG.MAXRSS_KB),
    endedAtMs: fields.moment(TAG.TIME_MS),
  };
}

interface Pending {
  /** Reads the answer; returns what hands it over. */
  readonly accept: (fields: Fields) => () => void;
  readonly reject: (error: Error) => void;
  readonly stopTimer: () => void;
}

const DEFAULT_TIMEOUT_MS = 10_000;
/** Of what was sent to somebody who does not read it. */
const MAX_UNREAD_BYTES = 1024 * 1024;
const MAX_UNANSWERED = 1024;
/** Who keeps us busy for so long at a time … */
const BUSY_MS = 2;
/** … is not listened to for nine times as long, but for no longer than this. */
const LONGEST_REST_MS = 50;

export class Connection<Event> {
  readonly #socket: Socket;
  readonly #dialect: Dialect<Event>;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #reader = new FrameReader();
  readonly #pending = new Map<number, Pending>();
  readonly #events = new Mailbox<Event>();
  readonly #closeListeners: (() => void)[] = [];
  #lastId = 0;
  #end: EmperorError | null = null;

  private constructor(socket: Socket, dialect: Dialect<Event>, options: ConnectionOptions) {
    this.#socket = socket;
    this.#dialect = dialect;
    this.#clock = options.clock ?? systemClock;
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('error', (error) => this.#finish(error));
    socket.on('close', () => this.#finish(null));
  }

  get clock(): Clock {
    return this.#clock;
  }

  /** Pid of the peer in our numbering, as the kernel knows it (unix(7), SO_PEERCRED). */
  peerPid(): number {
    // Node has no other way to the descriptor of a socket.
    const { _handle } = this.#socket as unknown as { readonly _handle: { readonly fd: number } };
    return peerCredentials(_handle.fd).pid;
  }

  /** Connects to `path`, however long; throws `not-reachable`. */
  static async connect<Event>(
    path: string,
    options: ConnectionOptions & Dialect<Event>,
  ): Promise<Connection<Event>> {
    try {
      return new Connection(await openSocket(path), options, options);
    } catch (error) {
      const message = `Cannot connect to ${options.peer}: ${messageOf(error)}`;
      throw new EmperorError('not-reachable', message, { cause: error });
    }
  }

  /** Sends a request and resolves to its answer; rejects with a Refusal on ERROR, or `timeout`. */
  request<Answer>(request: Request<Answer>): Promise<Answer> {
    if (this.#end) return Promise.reject(this.#end);
    if (this.#isDeaf()) {
      const message = `Cannot ask ${this.#dialect.peer}: too much of what it was asked is not answered`;
      return Promise.reject(new EmperorError('timeout', message));
    }
    const id = this.#nextId();
    const timeoutMs = request.timeoutMs ?? this.#timeoutMs;
    const frame = encodeFrame({ verb: request.verb, id, fields: request.fields });
    return new Promise((resolve, reject) => {
      const accept = (fields: Fields) => {
        const answer = request.read(fields);
        return () => resolve(answer);
      };
      const stopTimer = this.#clock.after(timeoutMs, () => this.#expire(id, timeoutMs));
      this.#pending.set(id, { accept, reject, stopTimer });
      this.#write(frame);
    });
  }

  /** Events that came before there was a listener are kept for the first one. */
  onEvent(listener: (event: Event) => void): void {
    this.#events.listen(listener);
  }

  /** Called once when the connection has ended, at once if it has already. */
  onClose(listener: () => void): void {
    if (this.#end) queueMicrotask(listener);
    else this.#closeListeners.push(listener);
  }

  close(): void {
    this.#socket.destroy();
    this.#finish(null);
  }

  /** What is written in one turn goes out by one system call. */
  #write(frame: Buffer): void {
    if (this.#socket.writableCorked === 0) {
      this.#socket.cork();
      process.nextTick(() => this.#socket.uncork());
    }
    this.#socket.write(frame);
  }

  #isDeaf(): boolean {
    const isFull = this.#pending.size >= MAX_UNANSWERED && this.#dialect.mayFlood === true;
    return isFull || this.#socket.writableLength > MAX_UNREAD_BYTES;
  }

  #nextId(): number {
    // 0 is for events; the number of requests in flight is far below 2^32.
    this.#lastId = (this.#lastId % 0xffff_ffff) + 1;
    return this.#lastId;
  }

  #read(chunk: Buffer): void {
    const begunAt = this.#clock.monotonic();
    this.#deliver(chunk);
    if (this.#dialect.mayFlood) this.#rest(this.#clock.monotonic() - begunAt);
  }

  /** A flood takes a tenth of our time, and waits where it comes from. */
  #rest(busyMs: number): void {
    if (busyMs < BUSY_MS || this.#end) return;
    this.#socket.pause();
    this.#clock.after(Math.min(9 * busyMs, LONGEST_REST_MS), () => this.#socket.resume());
  }

  #deliver(chunk: Buffer): void {
    let deliveries: readonly (() => void)[];
    try {
      deliveries = this.#reader.push(chunk).map((frame) => this.#take(frame));
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      // Whatever follows cannot be trusted either.
      this.#finish(error);
      this.#socket.destroy();
      return;
    }
    // Outside of the try: an error in a listener is a bug of ours.
    for (const deliver of deliveries) deliver();
  }

  /** Reads a frame and returns what hands it over. */
  #take(frame: Frame): () => void {
    if (frame.id === 0) {
      const event = this.#dialect.readEvent(frame);
      return () => event !== null && this.#events.post(event);
    }
    const pending = this.#pending.get(frame.id);
    // An answer that nobody waits for came after its timeout.
    if (!pending) return () => {};
    const deliver =
      frame.verb === VERB.ERROR
        ? () => pending.reject(new Refusal(frame.fields))
        : pending.accept(frame.fields);
    this.#settle(frame.id);
    return deliver;
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    pending?.stopTimer();
    return pending;
  }

  #expire(id: number, timeoutMs: number): void {
    const message = `Cannot get an answer from ${this.#dialect.peer}: none came within ${timeoutMs} ms`;
    this.#settle(id)?.reject(new EmperorError('timeout', message));
  }

  #finish(cause: unknown): void {
    if (this.#end) return;
    const why = cause === null ? 'the connection is closed' : messageOf(cause);
    this.#end = new EmperorError('not-reachable', `Cannot ask ${this.#dialect.peer}: ${why}`, {
      cause,
    });
    for (const id of [...this.#pending.keys()]) this.#settle(id)?.reject(this.#end);
    for (const listener of this.#closeListeners) listener();
  }
}

/** More than this is not kept for a listener that may never come. */
const MAX_KEPT = 4096;

/** Hands values to its listeners; keeps them until there is one. */
class Mailbox<T> {
  readonly #listeners: ((value: T) => void)[] = [];
  #kept: T[] = [];

  post(value: T): void {
    if (this.#listeners.length === 0 && this.#kept.length < MAX_KEPT) this.#kept.push(value);
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
  const short = shortPath(path);
  try {
    return await connected(createConnection(short.path));
  } finally {
    short.close();
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
