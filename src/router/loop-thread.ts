/**
 * A thread that forwards packets, as the control thread sees it: messages one way, reports the other. Its loop waits
 * in epoll_wait, so an eventfd says that there are messages. A loop that fails is a bug, and ends the process.
 */
import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { DIST } from '../base/checkout.ts';
import { openEventfd, signalEventfd } from '../linux/eventfd.ts';

export interface LoopThreadOptions<Report> {
  /** Which program is run. */
  readonly worker: 'packet-worker' | 'uwsgi-worker';
  /** What it is started with; `wake` is its eventfd. */
  readonly dataOf: (wake: number) => object;
  readonly onReport: (report: Report) => void;
}

/** Of a loop that returns once it is told to end. */
export class LoopThread<Message, Report> {
  readonly #wake = openEventfd();
  readonly #worker: Worker;
  readonly #onExit: () => void;
  /** Resolves with the loop's first report. */
  readonly ready: Promise<void>;
  /** Resolves when the loop has returned. */
  readonly ended: Promise<void>;

  constructor({ worker, dataOf, onReport }: LoopThreadOptions<Report>) {
    // From the sources (tests) the built worker is used: a worker of Node 20 cannot read TypeScript.
    this.#worker = new Worker(join(DIST, `router/${worker}.js`), {
      workerData: dataOf(this.#wake),
      execArgv: [],
      // Descriptors come and go by system calls that Node does not see.
      trackUnmanagedFds: false,
    });
    this.#worker.on('message', onReport);
    this.ready = new Promise((resolve) => this.#worker.once('message', () => resolve()));
    this.ended = new Promise((resolve) => this.#worker.once('exit', () => resolve()));
    // A worker that blocks in epoll_wait would keep process.exit waiting for ever.
    this.#onExit = () => this.tell({ type: 'end' });
    process.once('exit', this.#onExit);
  }

  tell(message: Message | { readonly type: 'end' }): void {
    this.#worker.postMessage(message);
    signalEventfd(this.#wake);
  }

  /** Ends it; all descriptors that it was given for its own are closed. */
  async end(): Promise<void> {
    process.removeListener('exit', this.#onExit);
    this.tell({ type: 'end' });
    await this.ended;
    closeSync(this.#wake);
  }
}
