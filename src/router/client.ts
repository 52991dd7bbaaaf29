/** The router as the emperor sees it: one connection to router.sock, many calls in flight. */
import { createConnection, type Socket } from 'node:net';
import { EmperorError, messageOf } from '../base/errors.ts';
import { shortPath } from '../base/socket-path.ts';
import { readLines } from './lines.ts';
import type { RouterCall, RouterCalls, RouterResponse } from './protocol.ts';

interface Pending {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class RouterClient {
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #isClosed = false;
  /** Resolves when the connection has ended, whoever ended it. */
  readonly closed: Promise<void>;

  /** Connects to router.sock; throws `not-reachable`. */
  static async connect(path: string): Promise<RouterClient> {
    const short = shortPath(path);
    try {
      const socket = createConnection(short.path);
      await new Promise<void>((resolve, reject) => {
        socket.once('connect', resolve);
        socket.once('error', reject);
      });
      return new RouterClient(socket);
    } catch (error) {
      throw new EmperorError('not-reachable', `Cannot reach the router: ${messageOf(error)}`, {
        cause: error,
      });
    } finally {
      short.close();
    }
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#lost();
        resolve();
      });
    });
    readLines(socket, (line) => this.#receive(line));
  }

  /** The router has ended, or close() was called: no answer comes any more. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Asks the router; rejects with its EmperorError, or `not-reachable` where it has ended. */
  call<Call extends RouterCall>(
    call: Call,
    ask: RouterCalls[Call]['ask'],
  ): Promise<RouterCalls[Call]['answer']> {
    if (this.#isClosed) return Promise.reject(gone());
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve, reject) => {
      // At the boundary: the answer is that of the call that was made.
      this.#pending.set(id, { resolve: resolve as (answer: unknown) => void, reject });
      this.#socket.write(`${JSON.stringify({ id, call, ask })}\n`);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(line: string): void {
    // At the boundary: the router is root's and of this version.
    const response = JSON.parse(line) as RouterResponse;
    const pending = this.#pending.get(response.id);
    this.#pending.delete(response.id);
    if (!pending) return;
    if ('error' in response) {
      pending.reject(new EmperorError(response.error.code, response.error.message));
    } else pending.resolve(response.answer);
  }

  #lost(): void {
    this.#isClosed = true;
    for (const { reject } of this.#pending.values()) reject(gone());
    this.#pending.clear();
  }
}

function gone(): EmperorError {
  return new EmperorError('not-reachable', 'Cannot ask the router: it has ended');
}
