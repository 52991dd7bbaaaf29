/** Starts or finds the router, and starts a new one whenever it dies. Its packets do not pass through us. */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, delay } from '../base/clock.ts';
import { EmperorError, messageOf } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { RouterClient } from '../router/client.ts';
import { ROUTER_PROTOCOL, type RouterWelcome } from '../router/protocol.ts';

export interface RouterSetting {
  /** Name of the host's device. */
  readonly device: string;
  /** Holds router.sock and launcher.sock. */
  readonly runDirectory: string;
  /** Gets the totals. */
  readonly stateDirectory: string;
  /** Gets router.log. */
  readonly logDirectory: string;
  /** Packets are cut by the kernel, whatever it could do. */
  readonly isPlain: boolean;
}

/** What is to be done with each router before vassals are attached; throws what keeps it from that. */
export type Prepare = (client: RouterClient, welcome: RouterWelcome) => Promise<void>;

/** From the sources (tests) the built program is used: Node 20 cannot run TypeScript. */
const PROGRAM = join(import.meta.dirname, '../../dist/router/main.js');
/** A router that cannot be started is tried again after this long. */
const RETRY_MS = 1000;
/** Who needs a router that is not there is told after this long. */
const PATIENCE_MS = 5000;
const START_TIMEOUT_MS = 10_000;
const POLL_MS = 5;

interface Running {
  readonly client: RouterClient;
  readonly welcome: RouterWelcome;
}

export interface RouterKeeperOptions {
  readonly setting: RouterSetting;
  readonly log: Log;
  readonly clock: Clock;
  readonly prepare: Prepare;
  /** Told why there is no router, and null once there is one. */
  readonly onTrouble: (message: string | null) => void;
}

export class RouterKeeper {
  readonly #options: RouterKeeperOptions;
  #isLeaving = false;
  #running: Running | null = null;
  #ready: Promise<Running>;
  /** Why there is none. */
  #trouble = 'it has not been started yet';

  /** Resolves once the first attempt was made; a router that cannot be started is tried again and again. */
  static async open(options: RouterKeeperOptions): Promise<RouterKeeper> {
    const keeper = new RouterKeeper(options);
    await keeper.#firstAttempt;
    return keeper;
  }

  readonly #firstAttempt: Promise<void>;

  private constructor(options: RouterKeeperOptions) {
    this.#options = options;
    let attempted: () => void = () => {};
    this.#firstAttempt = new Promise((resolve) => {
      attempted = resolve;
    });
    this.#ready = this.#begin(attempted);
  }

  /** The router that runs; waits for one that is being started, and throws `not-reachable` if that takes long. */
  async client(): Promise<RouterClient> {
    if (this.#running) return this.#running.client;
    const late = delay(this.#options.clock, PATIENCE_MS).then(() => {
      throw new EmperorError('not-reachable', `Cannot reach the router: ${this.#trouble}`);
    });
    return (await Promise.race([this.#ready, late])).client;
  }

  /** The router that runs now; null while a new one is being started. */
  get running(): Running | null {
    return this.#running;
  }

  /** Ends the router, and its device. */
  async quit(): Promise<void> {
    this.#isLeaving = true;
    const running = this.#running;
    if (!running) return;
    const ended = new Promise<void>((resolve) => {
      running.client.onLoss = resolve;
    });
    await running.client.call('end', { andDevice: true }).catch(ignoreGone);
    await ended;
    running.client.close();
  }

  /** Lets go of the router, which lives on. */
  close(): void {
    this.#isLeaving = true;
    this.#running?.client.close();
  }

  async #begin(attempted: () => void): Promise<Running> {
    const { clock, log, onTrouble } = this.#options;
    for (;;) {
      try {
        const running = await this.#attempt();
        onTrouble(null);
        attempted();
        return running;
      } catch (error) {
        if (this.#isLeaving) throw error;
        this.#trouble = messageOf(error);
        onTrouble(this.#trouble);
        log.error({ error: this.#trouble }, `there is no router, retrying in ${RETRY_MS} ms`);
        attempted();
        await delay(clock, RETRY_MS);
      }
    }
  }

  async #attempt(): Promise<Running> {
    const { setting, clock, prepare } = this.#options;
    const running = await start(setting, clock);
    try {
      await prepare(running.client, running.welcome);
    } catch (error) {
      running.client.close();
      throw error;
    }
    this.#running = running;
    running.client.onLoss = () => this.#lost(running.welcome.pid);
    return running;
  }

  #lost(pid: number): void {
    this.#running = null;
    if (this.#isLeaving) return;
    this.#options.log.warn({ pid }, 'the router ended; starting a new one');
    this.#trouble = 'it ended, and a new one is being started';
    this.#ready = this.#begin(() => {});
    // Whoever waits for it hears of it; nobody else has to.
    this.#ready.catch(() => {});
  }
}

async function start(setting: RouterSetting, clock: Clock): Promise<Running> {
  const socket = join(setting.runDirectory, 'router.sock');
  const found = await greet(socket);
  if (found?.welcome.protocol === ROUTER_PROTOCOL && found.welcome.device === setting.device) {
    return found;
  }
  // Left by an emperor of another version, or for another device. The device of the same name stays.
  if (found) await leave(found.client, found.welcome.device !== setting.device);
  return spawnRouter(setting, { socket, clock });
}

/** A router that answers; null if there is none. */
async function greet(socket: string): Promise<Running | null> {
  try {
    const client = await RouterClient.connect(socket);
    return { client, welcome: await client.call('hello', null) };
  } catch (error) {
    if (error instanceof EmperorError && error.code === 'not-reachable') return null;
    throw error;
  }
}

async function leave(client: RouterClient, andDevice: boolean): Promise<void> {
  const ended = new Promise<void>((resolve) => {
    client.onLoss = resolve;
  });
  await client.call('end', { andDevice }).catch(ignoreGone);
  await ended;
}

async function spawnRouter(
  setting: RouterSetting,
  { socket, clock }: { readonly socket: string; readonly clock: Clock },
): Promise<Running> {
  const log = join(setting.logDirectory, 'router.log');
  const end = spawnDaemon(setting, { socket, log });
  const deadline = clock.monotonic() + START_TIMEOUT_MS;
  while (clock.monotonic() < deadline) {
    const running = await greet(socket);
    if (running) return running;
    const why = end();
    if (why !== null) {
      throw new EmperorError('system-call', `Cannot start the router: ${why}; see ${log}`);
    }
    await delay(clock, POLL_MS);
  }
  throw new EmperorError(
    'timeout',
    `Cannot reach the router: ${socket} does not answer after ${START_TIMEOUT_MS} ms; see ${log}`,
  );
}

/** Starts it in a session of its own; returns what tells how it ended, null while it runs. */
function spawnDaemon(
  { device, runDirectory, stateDirectory, isPlain }: RouterSetting,
  { socket, log }: { readonly socket: string; readonly log: string },
): () => string | null {
  const output = openSync(log, 'a', 0o600);
  const child = spawn(
    process.execPath,
    [
      '--max-semi-space-size=1',
      PROGRAM,
      ...['--device', device, '--socket', socket],
      ...['--launcher', join(runDirectory, 'launcher.sock')],
      ...['--ledger', join(stateDirectory, 'traffic.ledger')],
      ...['--denials', join(stateDirectory, 'denials.json')],
      ...(isPlain ? ['--plain'] : []),
    ],
    {
      cwd: '/',
      detached: true,
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      stdio: ['ignore', output, output],
    },
  );
  closeSync(output);
  child.unref();
  let end: string | null = null;
  child.once('error', (error) => {
    end = messageOf(error);
  });
  child.once('exit', (code, signal) => {
    end = signal === null ? `it ended with status ${code}` : `it ended by ${signal}`;
  });
  return () => end;
}

function ignoreGone(error: unknown): void {
  // It may end before its answer is read.
  if (!(error instanceof EmperorError) || error.code !== 'not-reachable') throw error;
}
