/** Starts or finds the router, and starts a new one whenever it dies. Its packets do not pass through us. */
import { type Clock, delay } from '../base/clock.ts';
import { EmperorError, messageOf } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { RouterClient } from '../router/client.ts';
import { ROUTER_PROTOCOL, type RouterWelcome } from '../router/protocol.ts';
import { RouterProgram, type RouterSetting } from './router-program.ts';

/** What is to be done with each router before vassals are attached; throws what keeps it from that. */
export type Prepare = (client: RouterClient, welcome: RouterWelcome) => Promise<void>;

/** A router that cannot be started is tried again after this long. */
const RETRY_MS = 1000;
/** Who needs a router that is not there is told after this long. */
const PATIENCE_MS = 5000;
const START_TIMEOUT_MS = 10_000;
const POLL_MS = 2;
/** The machine has other things to do right after a start; and a router that ends at once needs no spare. */
const SPARE_AFTER_MS = 1000;

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
  readonly #program: RouterProgram;
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
    this.#program = new RouterProgram(options.setting);
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
    this.#program.close();
    const running = this.#running;
    if (!running) return;
    await running.client.call('end', { andDevice: true }).catch(ignoreGone);
    await running.client.closed;
  }

  /** Lets go of the router, which lives on. */
  close(): void {
    this.#isLeaving = true;
    this.#program.close();
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
    const running = await start(this.#program, { device: setting.device, clock });
    try {
      await prepare(running.client, running.welcome);
    } catch (error) {
      running.client.close();
      throw error;
    }
    this.#running = running;
    // It may have ended since it answered last.
    void running.client.closed.then(() => this.#lost(running.welcome.pid));
    void delay(clock, SPARE_AFTER_MS).then(() => {
      if (!this.#isLeaving && this.#running === running) this.#program.keepSpare();
    });
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

async function start(
  program: RouterProgram,
  { device, clock }: { readonly device: string; readonly clock: Clock },
): Promise<Running> {
  const found = await greet(program.socket);
  if (found && isFit(found.welcome, { device, code: program.code })) return found;
  // Left by an emperor of another version, or for another device. The device of the same name stays.
  if (found) await leave(found.client, found.welcome.device !== device);
  return startNew(program, clock);
}

function isFit(
  welcome: RouterWelcome,
  wanted: { readonly device: string; readonly code: string },
): boolean {
  const { protocol, device, code } = welcome;
  return protocol === ROUTER_PROTOCOL && device === wanted.device && code === wanted.code;
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
  await client.call('end', { andDevice }).catch(ignoreGone);
  await client.closed;
}

async function startNew(program: RouterProgram, clock: Clock): Promise<Running> {
  const { socket, log } = program;
  const end = program.start();
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

function ignoreGone(error: unknown): void {
  // It may end before its answer is read.
  if (!(error instanceof EmperorError) || error.code !== 'not-reachable') throw error;
}
