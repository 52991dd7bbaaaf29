/** The packets' thread as the control thread sees it: messages one way, reports the other. */
import { closeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { openEpoll } from '../linux/epoll.ts';
import { openEventfd, signalEventfd } from '../linux/eventfd.ts';
import type { LedgerPlace } from './ledger.ts';
import type { LoopMessage, LoopReport } from './packet-loop.ts';
import type { PacketWorkerData } from './packet-worker.ts';

/** From the sources (tests) the built worker is used: a worker of Node 20 cannot read TypeScript. */
const WORKER = new URL(
  import.meta.url.endsWith('.ts') ? '../../dist/router/packet-worker.js' : './packet-worker.js',
  import.meta.url,
);

export class PacketThread {
  readonly #wake = openEventfd();
  readonly #worker: Worker;
  readonly #onExit: () => void;
  /** Resolves when the loop runs; rejects if it cannot. */
  readonly ready: Promise<void>;

  constructor(ledger: LedgerPlace, onReport: (report: LoopReport) => void) {
    const workerData: PacketWorkerData = { epoll: openEpoll(), wake: this.#wake, ledger };
    this.#worker = new Worker(WORKER, {
      workerData,
      execArgv: [],
      // Descriptors come and go by system calls that Node does not see.
      trackUnmanagedFds: false,
    });
    // A worker that blocks in epoll_wait would keep process.exit waiting for ever.
    this.#onExit = () => this.tell({ type: 'end' });
    process.once('exit', this.#onExit);
    this.#worker.on('message', onReport);
    this.ready = new Promise((resolve, reject) => {
      this.#worker.once('message', () => resolve());
      this.#worker.once('error', reject);
    });
  }

  /** Called if the loop ends, which it never should. */
  onFailure(listener: (error: Error) => void): void {
    this.#worker.on('error', listener);
  }

  tell(message: LoopMessage): void {
    this.#worker.postMessage(message);
    signalEventfd(this.#wake);
  }

  /** Ends it; all descriptors that it was given are closed. */
  async end(): Promise<void> {
    const ended = new Promise((resolve) => this.#worker.once('exit', resolve));
    process.removeListener('exit', this.#onExit);
    this.tell({ type: 'end' });
    await ended;
    closeSync(this.#wake);
  }
}
