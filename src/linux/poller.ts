/**
 * Waits for descriptors that libuv does not take (pidfds, /proc/self/mountinfo, cgroup.events): one worker
 * thread for the whole process blocks in epoll_wait and posts the tokens of what is ready, in batches.
 *
 * Invariants: a token is never reused, so a report that crosses a cancellation finds nothing and is dropped.
 * Each watch fires at most once. A watch is cancelled before its descriptor is closed, because a closed
 * descriptor's number may already be somebody else's. An eventfd (token 0) ends the worker: a blocked
 * worker would otherwise keep process.exit waiting for ever.
 */
import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { DIST } from '../base/checkout.ts';
import {
  addToEpoll,
  EPOLLIN,
  EPOLLONESHOT,
  EPOLLPRI,
  openEpoll,
  removeFromEpoll,
} from './epoll.ts';
import { openEventfd, signalEventfd } from './eventfd.ts';

const EVENTS = { readable: EPOLLIN, priority: EPOLLPRI } as const;

/** From the sources (tests) the built worker is used: a worker of Node 20 cannot read TypeScript. */
const WORKER = join(DIST, 'linux/poller-worker.js');

interface Watch {
  readonly fd: number;
  readonly onReady: () => void;
}

export class Poller {
  readonly #epoll: number;
  readonly #wake: number;
  readonly #worker: Worker;
  readonly #ended: Promise<void>;
  readonly #watches = new Map<number, Watch>();
  readonly #onExit: () => void;
  #lastToken = 0;
  #closed = false;

  /** Starts the worker. It does not keep the process alive. */
  static start(): Poller {
    return new Poller();
  }

  private constructor() {
    this.#epoll = openEpoll();
    this.#wake = openEventfd();
    addToEpoll(this.#epoll, { fd: this.#wake, events: EPOLLIN, token: 0 });
    this.#worker = new Worker(WORKER, { workerData: { epoll: this.#epoll }, execArgv: [] });
    this.#worker.on('message', (tokens: Uint32Array) => this.#report(tokens));
    this.#ended = new Promise((resolve) => this.#worker.once('exit', () => resolve()));
    this.#worker.unref();
    this.#onExit = () => signalEventfd(this.#wake);
    process.once('exit', this.#onExit);
  }

  /** How many watches are armed. */
  get size(): number {
    return this.#watches.size;
  }

  /**
   * Calls `onReady` once when `fd` becomes ready (also on error or hang-up) and forgets it then; returns what
   * cancels it. EEXIST: `fd` is watched already. EPERM: a descriptor that cannot be waited for.
   */
  watch(fd: number, interest: 'readable' | 'priority', onReady: () => void): () => void {
    if (this.#closed) throw new Error('The poller is closed');
    this.#lastToken += 1;
    const token = this.#lastToken;
    addToEpoll(this.#epoll, { fd, events: EVENTS[interest] | EPOLLONESHOT, token });
    this.#watches.set(token, { fd, onReady });
    return () => this.#forget(token);
  }

  #report(tokens: Uint32Array): void {
    for (const token of tokens) {
      const watch = this.#watches.get(token);
      this.#forget(token);
      watch?.onReady();
    }
  }

  #forget(token: number): void {
    const watch = this.#watches.get(token);
    if (!watch) return;
    this.#watches.delete(token);
    if (!this.#closed) removeFromEpoll(this.#epoll, watch.fd);
  }

  /** Drops all watches and ends the worker. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#watches.clear();
    process.removeListener('exit', this.#onExit);
    signalEventfd(this.#wake);
    // An unreferenced worker would let the process end before the descriptors are closed.
    this.#worker.ref();
    await this.#ended;
    closeSync(this.#wake);
    closeSync(this.#epoll);
  }
}
