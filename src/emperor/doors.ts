/**
 * The doors by which customers come in by ssh: run-dir/doors/NAME.sock, one for each vassal with `ssh-user`. We make
 * the socket, for that one user, and hand it to the vassal's init; no byte of a session passes through here, and
 * sessions go on without us. A door goes with its init.
 */
import { chmodSync, chownSync, closeSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { EmperorError, messageOf } from '../base/errors.ts';
import type { VassalConfig } from '../config/vassal-config.ts';
import { type Door, setDoor } from '../jail/door.ts';
import { lookupUser } from '../linux/accounts.ts';
import type { Poller } from '../linux/poller.ts';
import { listenUnix } from '../linux/unix-socket.ts';
import type { Surroundings } from './surroundings.ts';

export interface DoorsHost {
  readonly clock: Clock;
  readonly poller: Poller;
  readonly runDirectory: string;
  readonly initSocketOf: (name: string) => string;
  readonly surroundingsOf: (config: VassalConfig) => Surroundings;
  /** Told why a vassal has no door though it should; null once it has, or need not. */
  readonly onTrouble: (name: string, message: string | null) => void;
}

/** An init that does not answer in this time is tried again. */
const ANSWER_MS = 5000;
/** An account may be made later. */
const RETRY_MS = 5000;

export class Doors {
  readonly #host: DoorsHost;
  readonly #directory: string;
  /** What is in force, as text, by vassal. */
  readonly #open = new Map<string, string>();
  readonly #wanted = new Map<string, VassalConfig>();
  /** What is done for one vassal is done in order. */
  readonly #turns = new Map<string, Promise<void>>();
  /** What failed is tried again: what calls that off. */
  readonly #retries = new Map<string, () => void>();

  constructor(host: DoorsHost) {
    this.#host = host;
    this.#directory = doorsDirectory(host.runDirectory);
  }

  /** Brings the door of a vassal that runs in line with what is applied to it. */
  apply(config: VassalConfig): void {
    const { name } = config;
    // A record of an older emperor does not have the key.
    if (!config.sshUser && !this.#wanted.has(name)) return;
    this.#wanted.set(name, config);
    this.#inTurn(name, () => this.#settle(name));
  }

  /** Its init has gone. */
  forget(name: string): void {
    if (!this.#wanted.delete(name)) return;
    this.#inTurn(name, async () => {
      this.#remove(name);
      this.#host.onTrouble(name, null);
    });
  }

  /** Takes over the doors of those that run, and removes those of others. */
  adopt(running: readonly VassalConfig[]): void {
    const doors = new Set(listIfThere(this.#directory));
    for (const config of running) {
      // One that was closed while no emperor ran is closed now.
      if (doors.delete(fileOf(config.name))) this.#wanted.set(config.name, config);
      this.apply(config);
    }
    for (const file of doors) rmSync(join(this.#directory, file), { force: true });
  }

  #inTurn(name: string, act: () => Promise<void>): void {
    this.#retries.get(name)?.();
    this.#retries.delete(name);
    const turn = (this.#turns.get(name) ?? Promise.resolve()).then(act).catch((error: unknown) => {
      this.#host.onTrouble(name, `nobody can log in by ssh: ${messageOf(error)}`);
      this.#retries.get(name)?.();
      const retry = () => this.#inTurn(name, () => this.#settle(name));
      this.#retries.set(name, this.#host.clock.after(RETRY_MS, retry));
    });
    this.#turns.set(name, turn);
    void turn.then(() => {
      if (this.#turns.get(name) === turn) this.#turns.delete(name);
    });
  }

  async #settle(name: string): Promise<void> {
    const config = this.#wanted.get(name);
    if (!config) return;
    if (!config.sshUser) await this.#close(config);
    else await this.#serve(name, this.#doorOf(config, config.sshUser));
    this.#host.onTrouble(name, null);
  }

  /** Throws `conflict` for a user that is not there, or is root. */
  #doorOf(config: VassalConfig, user: string): Door {
    const uid = /^\d+$/.test(user) ? Number(user) : lookupUser(user);
    if (uid === undefined) {
      const remedy = `make it with \`emperor ssh setup ${config.name} --key FILE --write\``;
      throw new EmperorError(
        'conflict',
        `ssh-user ${user} is no user of this machine yet; ${remedy}`,
      );
    }
    if (uid === 0)
      throw new EmperorError('conflict', `ssh-user ${user} is root, who stays on the host`);
    // A login begins at home, wherever `chdir` has the command begin: scp's paths count from there.
    const { env, shell } = this.#host.surroundingsOf(config);
    const cwd = env.find((pair) => pair.startsWith('HOME='))?.slice('HOME='.length) ?? '/';
    return { uid, cwd, env, shell };
  }

  async #serve(name: string, door: Door): Promise<void> {
    const text = JSON.stringify(door);
    if (this.#open.get(name) === text) return;
    this.#remove(name);
    const fd = this.#listen(name, door.uid);
    try {
      await setDoor(this.#host.initSocketOf(name), { door, fd }, this.#patience);
      this.#open.set(name, text);
    } catch (error) {
      this.#remove(name);
      throw error;
    } finally {
      closeSync(fd);
    }
  }

  async #close(config: VassalConfig): Promise<void> {
    const { name } = config;
    this.#remove(name);
    await setDoor(this.#host.initSocketOf(name), null, this.#patience);
    // It may be wanted again by now.
    if (this.#wanted.get(name) === config) this.#wanted.delete(name);
  }

  get #patience() {
    const { clock, poller } = this.#host;
    return { clock, poller, deadlineMs: ANSWER_MS };
  }

  /** Two locks: only its owner may connect, and init asks the kernel who did. */
  #listen(name: string, uid: number): number {
    makePassable(this.#host.runDirectory);
    mkdirSync(this.#directory, { recursive: true, mode: 0o711 });
    chmodSync(this.#directory, 0o711);
    const path = join(this.#directory, fileOf(name));
    const fd = listenUnix(path, { mode: 0o600, passesCredentials: false });
    chownSync(path, uid, 0);
    return fd;
  }

  #remove(name: string): void {
    this.#open.delete(name);
    rmSync(join(this.#directory, fileOf(name)), { force: true });
  }
}

/** Where the doors of an emperor are. */
export function doorsDirectory(runDirectory: string): string {
  return join(runDirectory, 'doors');
}

/** The path of one vassal's door. */
export function doorOf(runDirectory: string, name: string): string {
  return join(doorsDirectory(runDirectory), fileOf(name));
}

function fileOf(name: string): string {
  return `${name}.sock`;
}

/** Others may go through run-dir, to the doors; what else is in there is closed by its own rights. */
function makePassable(runDirectory: string): void {
  const mode = statSync(runDirectory).mode & 0o7777;
  if ((mode & 0o011) !== 0o011) chmodSync(runDirectory, mode | 0o011);
}

function listIfThere(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    // No vassal has had a door yet.
    return [];
  }
}
