/**
 * Starts routers. One more is kept as a spare: it has loaded all of its code and waits at its stdin, so that packets
 * flow again a moment after a router was killed, without the time that Node needs to begin. A spare touches nothing,
 * and ends with the emperor.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { DIST } from '../base/checkout.ts';
import { messageOf } from '../base/errors.ts';
import { routerCode } from './router-code.ts';

export interface RouterSetting {
  /** Name of the host's device. */
  readonly device: string;
  /** Holds router.sock and launcher.sock. */
  readonly runDirectory: string;
  /** Gets the totals. */
  readonly stateDirectory: string;
  /** Gets router.log. */
  readonly logDirectory: string;
}

/** From the sources (tests) the built program is used: Node 20 cannot run TypeScript. */
const PROGRAM = join(DIST, 'router/main.js');

/** A router that was started. */
interface Started {
  readonly child: ChildProcess;
  /** How it ended; null while it runs. */
  end: string | null;
}

export class RouterProgram {
  readonly #setting: RouterSetting;
  #spare: Started | null = null;

  constructor(setting: RouterSetting) {
    this.#setting = setting;
  }

  get socket(): string {
    return join(this.#setting.runDirectory, 'router.sock');
  }

  get log(): string {
    return join(this.#setting.logDirectory, 'router.log');
  }

  /** Which code a router that is started now runs. */
  get code(): string {
    return routerCode(DIST);
  }

  /** Starts one in a session of its own; returns what tells how it ended, null while it runs. */
  start(): () => string | null {
    const spare = this.#spare;
    this.#spare = null;
    if (spare?.end === null) {
      spare.child.stdin?.end('begin\n');
      return () => spare.end;
    }
    const started = this.#spawn([]);
    return () => started.end;
  }

  /** Has a spare, unless there is one. */
  keepSpare(): void {
    if (this.#spare?.end !== null) this.#spare = this.#spawn(['--spare']);
  }

  /** Ends the spare. */
  close(): void {
    this.#spare?.child.stdin?.destroy();
    this.#spare = null;
  }

  #spawn(words: readonly string[]): Started {
    const { device, runDirectory, stateDirectory } = this.#setting;
    const output = openSync(this.log, 'a', 0o600);
    const child = spawn(
      process.execPath,
      [
        ...['--max-semi-space-size=1', PROGRAM, ...words],
        ...['--device', device, '--socket', this.socket],
        ...['--launcher', join(runDirectory, 'launcher.sock')],
        ...['--ledger', join(stateDirectory, 'traffic.ledger')],
        ...['--denials', join(stateDirectory, 'denials.json')],
        ...['--code', this.code],
      ],
      {
        cwd: '/',
        detached: true,
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
        stdio: [words.length > 0 ? 'pipe' : 'ignore', output, output],
      },
    );
    closeSync(output);
    child.unref();
    const { stdin } = child;
    // A spare that has ended is told of by its `exit`.
    stdin?.on('error', () => {});
    if (stdin && 'unref' in stdin && typeof stdin.unref === 'function') stdin.unref();
    const started: Started = { child, end: null };
    child.once('error', (error) => {
      started.end = messageOf(error);
    });
    child.once('exit', (status, signal) => {
      started.end = signal === null ? `it ended with status ${status}` : `it ended by ${signal}`;
    });
    return started;
  }
}
