/** Starts or finds the launcher, and starts a new one whenever it dies. Vassals do not notice. */
import { readlinkSync, realpathSync } from 'node:fs';
import { type Clock, delay } from '../base/clock.ts';
import { EmperorError, isErrno, messageOf } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { LauncherClient } from '../jail/launcher-client.ts';
import { type LauncherSetting, startLauncher } from '../jail/start-launcher.ts';

/** A launcher that cannot be started is tried again after this long. */
const RETRY_MS = 1000;

interface Running {
  readonly client: LauncherClient;
  readonly program: string;
  readonly pid: number;
}

export class LauncherKeeper {
  readonly #setting: LauncherSetting;
  readonly #log: Log;
  readonly #clock: Clock;
  #running: Running;
  #isLeaving = false;
  /** Done once a launcher that is being started in place of a dead one is there. */
  #replacement: Promise<void> = Promise.resolve();
  /** Called when a new one has taken the place of one that ended. */
  onReplaced: () => void = () => {};

  /** Throws what startLauncher() throws. */
  static async open(options: {
    readonly setting: LauncherSetting;
    readonly log: Log;
    readonly clock: Clock;
  }): Promise<LauncherKeeper> {
    return new LauncherKeeper(options, await start(options.setting));
  }

  private constructor(
    options: { readonly setting: LauncherSetting; readonly log: Log; readonly clock: Clock },
    running: Running,
  ) {
    this.#setting = options.setting;
    this.#log = options.log;
    this.#clock = options.clock;
    this.#running = running;
    this.#follow(running);
  }

  get client(): LauncherClient {
    return this.#running.client;
  }

  get pid(): number {
    return this.#running.pid;
  }

  /** The installed C program, for `attach`. */
  get program(): string {
    return this.#running.program;
  }

  /** Ends the launcher. */
  async quit(): Promise<void> {
    this.#isLeaving = true;
    await this.#replacement;
    await quitLauncher(this.client);
  }

  /** Lets go of the launcher, which lives on. */
  close(): void {
    this.#isLeaving = true;
    this.client.close();
    void this.#replacement.then(() => this.client.close());
  }

  /** Exits of inits are seen by their pidfds; the launcher may forget them. */
  #follow({ client, pid }: Running): void {
    client.onExit((exit) => {
      client.ack(exit.pid).catch(() => {
        // The launcher has died; its successor knows nothing of this exit.
      });
    });
    client.onClose(() => {
      if (this.#isLeaving) return;
      this.#log.warn({ pid }, 'the launcher ended; its vassals go on, starting a new one');
      this.#replacement = this.#replace();
    });
  }

  async #replace(): Promise<void> {
    while (!this.#isLeaving) {
      try {
        this.#running = await start(this.#setting);
        this.#follow(this.#running);
        this.onReplaced();
        return;
      } catch (error) {
        this.#log.error(
          { error: messageOf(error) },
          `the launcher cannot be started, retrying in ${RETRY_MS} ms`,
        );
        await delay(this.#clock, RETRY_MS);
      }
    }
  }
}

async function start(setting: LauncherSetting): Promise<Running> {
  const { client, program } = await startLauncher(setting);
  const { pid } = await client.hello({ subscribe: true });
  if (runs(pid, program)) return { client, program, pid };
  // Left by an emperor of another version: it would start inits that do not know our steps. Vassals stay.
  await leave(client);
  const next = await startLauncher(setting);
  return { ...next, pid: (await next.client.hello({ subscribe: true })).pid };
}

/** Tells whether a process runs that very file; its link says `(deleted)` where the file was replaced. */
function runs(pid: number, program: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/exe`) === realpathSync(program);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

async function leave(client: LauncherClient): Promise<void> {
  const ended = new Promise<void>((resolve) => client.onClose(resolve));
  await quitLauncher(client);
  await ended;
}

async function quitLauncher(client: LauncherClient): Promise<void> {
  await client.quit().catch((error) => {
    // It may end before its answer is read.
    if (!(error instanceof EmperorError) || error.code !== 'not-reachable') throw error;
  });
}
