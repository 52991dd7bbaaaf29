/**
 * Starts or finds the router, and starts a new one whenever it dies. Its packets do not pass through us.
 *
 * A router is greeted, prepared, and from then on is the one that runs. What changes while it is prepared is told (tell())
 * to it, too: it may have been given the old state a moment ago.
 */
import { type Clock, delay } from '../base/clock.ts';
import { EmperorError, messageOf } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { RouterClient } from '../router/client.ts';
import { ROUTER_PROTOCOL, type RouterWelcome } from '../router/protocol.ts';
import { RouterProgram, type RouterSetting } from './router-program.ts';

/** What is to be done with each router before vassals are attached; throws what keeps it from that. */
type Prepare = (client: RouterClient, welcome: RouterWelcome) => Promise<void>;

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

interface RouterKeeperOptions {
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
  /** Resolves once the first attempt was made; a router that cannot be started is tried again and again. */
  readonly firstAttempt: Promise<void>;
  #isLeaving = false;
  #running: Running | null = null;
  /** The one that runs or is being prepared. */
  #greeted: RouterClient | null = null;
  #ready: Promise<Running>;
  /** Why there is none. */
  #trouble = 'it has not been started yet';

  constructor(options: RouterKeeperOptions) {
    this.#options = options;
    this.#program = new RouterProgram(options.setting);
    let attempted: () => void = () => {};
    this.firstAttempt = new Promise((resolve) => {
      attempted = resolve;
    });
    this.#ready = this.#begin(attempted);
  }

  /** The router that runs; waits for one that is being started, and throws `not-reachable` if that takes long. */
  async client(): Promise<RouterClient> {
    if (this.#running) return this.#running.client;
    let stopTimer = () => {};
    const late = new Promise<never>((_, reject) => {
      stopTimer = this.#options.clock.after(PATIENCE_MS, () => {
        reject(new EmperorError('not-reachable', `Cannot reach the router: ${this.#trouble}`));
      });
    });
    try {
      return (await Promise.race([this.#ready, late])).client;
    } finally {
      stopTimer();
    }
  }

  /** The router that runs now; null while a new one is being started. */
  get running(): RouterClient | null {
    return this.#running?.client ?? null;
  }

  /** Says something to the router that runs or is being prepared; a later one is prepared with it anyway. */
  async tell(say: (client: RouterClient) => Promise<unknown>): Promise<void> {
    const client = this.#greeted;
    if (!client) return;
    try {
      await say(client);
    } catch (error) {
      if (client.isClosed) return;
      this.#options.log.error({ error: messageOf(error) }, 'the router refused');
    }
  }

  /** Ends the router, and its device; also one that was being started. */
  async quit(): Promise<void> {
    this.close();
    await this.#ready.catch(() => {
      // It says that we are leaving.
    });
    const found = await greet(this.#program.socket);
    if (found) await leave(found.client, true);
  }

  /** Lets go of the router, which lives on. */
  close(): void {
    this.#isLeaving = true;
    this.#program.close();
    this.#running?.client.close();
  }

  #begin(attempted: () => void): Promise<Running> {
    const ready = this.#tryUntilReady(attempted);
    // Whoever waits for it hears of it; nobody else has to.
    ready.catch(() => {});
    return ready;
  }

  async #tryUntilReady(attempted: () => void): Promise<Running> {
    const { clock, log, onTrouble } = this.#options;
    for (;;) {
      try {
        const running = await this.#attempt();
        onTrouble(null);
        return running;
      } catch (error) {
        if (this.#isLeaving) throw error;
        this.#trouble = messageOf(error);
        onTrouble(this.#trouble);
        log.error({ error: this.#trouble }, `there is no router, retrying in ${RETRY_MS} ms`);
      } finally {
        attempted();
      }
      await delay(clock, RETRY_MS);
    }
  }

  async #attempt(): Promise<Running> {
    const { setting, clock, prepare } = this.#options;
    this.#refuseLeaving();
    const running = await start(this.#program, { device: setting.device, clock });
    const { client, welcome } = running;
    this.#greeted = client;
    try {
      await prepare(client, welcome);
      this.#refuseLeaving();
    } catch (error) {
      client.close();
      throw error;
    }
    this.#running = running;
    // It may have ended since it answered last.
    void client.closed.then(() => this.#lost(welcome.pid));
    void delay(clock, SPARE_AFTER_MS).then(() => {
      if (!this.#isLeaving && this.#running === running) this.#program.keepSpare();
    });
    return running;
  }

  #refuseLeaving(): void {
    if (!this.#isLeaving) return;
    throw new EmperorError('not-reachable', 'Cannot start the router: the emperor is leaving it');
  }

  #lost(pid: number): void {
    this.#running = null;
    if (this.#isLeaving) return;
    this.#options.log.warn({ pid }, 'the router ended; starting a new one');
    this.#trouble = 'it ended, and a new one is being started';
    this.#ready = this.#begin(() => {});
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
  try {
    await client.call('end', { andDevice });
  } catch (error) {
    // It may end before its answer is read.
    if (!client.isClosed) throw error;
  }
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
