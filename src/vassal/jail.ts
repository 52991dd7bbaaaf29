/**
 * One living jail: its init as a process (pidfd), as a peer (init.sock) and as a cgroup. Knows how a jail
 * comes to be and when it is gone; when to do either is vassal.ts's business.
 *
 * Gone means: the pidfd is readable and the cgroup is empty. A closed socket is only a hint.
 */
import { closeSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { delay } from '../base/clock.ts';
import { EmperorError, isErrno, messageOf } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Controllers, Unmet } from '../cgroup/controllers.ts';
import type { Limits } from '../cgroup/limits.ts';
import type { Cgroups, Membership } from '../cgroup/membership.ts';
import { InitClient, type SlotEvent, type Welcome } from '../jail/init-client.ts';
import type { LauncherClient } from '../jail/launcher-client.ts';
import type { JailPlan } from '../jail/plan.ts';
import { openPidfd, signalPidfd } from '../linux/pidfd.ts';
import type { Poller } from '../linux/poller.ts';
import { readStartTime } from '../linux/proc.ts';

/** What all jails of one emperor share. */
export interface JailHost {
  readonly clock: Clock;
  readonly log: Log;
  readonly poller: Poller;
  readonly membership: Membership;
  readonly controllers: Controllers;
  readonly launcher: () => LauncherClient;
  /** run-dir/vassals */
  readonly runDirectory: string;
  /** Called when the init of that name has ended: what is held of its namespaces outside keeps them alive. */
  readonly onGone: (name: string) => void;
}

/** How a jail is made. */
export interface Launch {
  readonly plan: (cgroups: Cgroups, runDirectory: string) => JailPlan;
  readonly limits: Limits;
  readonly onUnmet: (unmet: readonly Unmet[]) => void;
  /** Connects what stands at its gate with the world outside; null where there is nothing to connect. */
  readonly connect: ((welcome: Welcome, initSocket: string) => Promise<void>) | null;
}

const SIGKILL = 9;
/** An init that was told to stop gets this long beyond its grace before it is killed. */
const STOP_MARGIN_MS = 2000;
/** An init that closed its connection has this long to end by itself. */
const LOST_AFTER_MS = 1000;
/** How often a cgroup that will not empty is killed and looked at again. */
const SWEEP_INTERVAL_MS = 50;
/** After this long the log names what cannot be killed, once. */
const STUCK_AFTER_MS = 10_000;

export class Jail {
  readonly name: string;
  readonly pid: number;
  readonly init: InitClient;
  /** Wall clock; 0 until init has been greeted. */
  startedAtMs = 0;
  /** Of all its processes; of an adopted one by the word of its init. */
  uid = -1;
  readonly #host: JailHost;
  readonly #pidfd: number;
  readonly #died: Promise<void>;
  #isDead = false;
  #isReleased = false;

  /** Called for each exit of a process inside, and for what it says of itself. */
  onEvent: (event: SlotEvent) => void = () => {};
  /** Called once when init has ended, whoever ended it. */
  onDeath: () => void = () => {};

  private constructor(
    host: JailHost,
    identity: { name: string; pid: number; pidfd: number; init: InitClient },
  ) {
    this.#host = host;
    this.name = identity.name;
    this.pid = identity.pid;
    this.init = identity.init;
    this.#pidfd = identity.pidfd;
    this.#died = new Promise((resolve) => {
      host.poller.watch(identity.pidfd, 'readable', () => {
        this.#isDead = true;
        closeSync(identity.pidfd);
        this.init.close();
        host.onGone(this.name);
        resolve();
        this.onDeath();
      });
    });
    this.init.onEvent((event) => this.onEvent(event));
    this.init.onClose(() => this.#lost());
  }

  /**
   * The connection has ended, usually a moment before init does. An init that lives on cannot be spoken to:
   * nobody would hear of its exits, and nobody could stop it in order.
   */
  #lost(): void {
    if (this.#isDead || this.#isReleased) return;
    this.#host.clock.after(LOST_AFTER_MS, () => {
      if (this.#isDead || this.#isReleased) return;
      this.#host.log.error(
        { vassal: this.name, pid: this.pid },
        'init hung up and lives; ending it',
      );
      this.#sigkill();
    });
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  /**
   * Makes the jail of `plan`, has it connected, and passes its gate. Throws `jail-failed` with the sentence for the
   * operator; removeRemains() is the caller's business then, since it may take long.
   */
  static async launch(host: JailHost, name: string, launch: Launch): Promise<Jail> {
    const runDirectory = join(host.runDirectory, name);
    makeDirectory(runDirectory);
    const leaves = host.membership.create(name);
    const { unmet, ...controlled } = host.controllers.create(name, launch.limits);
    launch.onUnmet(unmet);
    const plan = launch.plan({ ...leaves, ...controlled }, runDirectory);
    const { pid } = await host.launcher().launch(plan);
    return Jail.#pass(host, { name, pid }, { plan, connect: launch.connect });
  }

  /** Takes over a jail that an earlier emperor made; `init` has said hello already. */
  static adopt(
    host: JailHost,
    found: { name: string; pid: number; init: InitClient; welcome: Welcome },
  ): Jail {
    const pidfd = pidfdOf(found.pid, found.welcome.startTime);
    const jail = new Jail(host, { ...found, pidfd });
    jail.startedAtMs = found.welcome.startedAtMs;
    jail.uid = found.welcome.uid;
    return jail;
  }

  /** Takes hold of an init that stands at its gate and lets it pass. */
  static async #pass(
    host: JailHost,
    found: { name: string; pid: number },
    { plan, connect }: { readonly plan: JailPlan; readonly connect: Launch['connect'] },
  ): Promise<Jail> {
    const pidfd = openPidfd(found.pid);
    let jail: Jail | undefined;
    try {
      const socket = socketOf(host, found.name);
      const init = await InitClient.connect(socket);
      jail = new Jail(host, { ...found, pidfd, init });
      // It lives, so its number was nobody else's when the pidfd was opened.
      if (init.peerPid() !== found.pid) throw mistaken(found.pid);
      const greeting = init.hello({ subscribe: true });
      if (connect) await connect(await greeting, socket);
      // Who it is is known from the launcher, so both may go at once.
      const [welcome] = await Promise.all([greeting, init.go(plan)]);
      jail.startedAtMs = welcome.startedAtMs;
      jail.uid = uidOf(plan);
      return jail;
    } catch (error) {
      if (jail) {
        jail.#sigkill();
      } else {
        signalPidfd(pidfd, SIGKILL);
        closeSync(pidfd);
      }
      throw error;
    }
  }

  /** Ends it: `signal` to all, `graceMs` to go by themselves, then SIGKILL; resolves when it is gone. */
  async stop(options: { readonly graceMs: number; readonly signal: number }): Promise<void> {
    if (!this.#isDead) {
      const late = this.#host.clock.after(options.graceMs + STOP_MARGIN_MS, () => this.#sigkill());
      // What its init says to that, if anything, changes nothing.
      this.init.stop(options).catch((error: unknown) => {
        this.#host.log.debug({ vassal: this.name, error: messageOf(error) }, 'init did not answer');
      });
      await this.#died;
      late();
    }
    await removeRemains(this.#host, this.name);
  }

  /** Ends it at once; resolves when it is gone. */
  async kill(): Promise<void> {
    this.#sigkill();
    await this.#died;
    await removeRemains(this.#host, this.name);
  }

  /** Lets go of it without ending it. */
  release(): void {
    this.#isReleased = true;
    this.onDeath = () => {};
    this.init.close();
  }

  #sigkill(): void {
    if (this.#isDead) return;
    signalPidfd(this.#pidfd, SIGKILL);
    this.#host.membership.kill(this.name);
  }
}

/** What its init says at the gate is not it yet. */
function uidOf({ steps }: JailPlan): number {
  return steps.find((step) => step.op === 'drop')?.uid ?? -1;
}

/** Opens a pidfd and makes sure that it is the process that was meant, not a later one of that number. */
function pidfdOf(pid: number, startTime: bigint): number {
  const pidfd = openPidfd(pid);
  const seen = readStartTime(pid);
  if (seen !== undefined && BigInt(seen) === startTime) return pidfd;
  closeSync(pidfd);
  throw mistaken(pid);
}

function mistaken(pid: number): EmperorError {
  return new EmperorError('jail-failed', `Cannot watch init ${pid}: it has already ended`);
}

function makeDirectory(path: string): void {
  try {
    mkdirSync(path, 0o700);
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
  }
}

function socketOf(host: JailHost, name: string): string {
  return join(host.runDirectory, name, 'init.sock');
}

/** Connects to the init of `name`, if there is one, and says hello. */
export async function connectInit(
  host: JailHost,
  name: string,
): Promise<{ init: InitClient; welcome: Welcome }> {
  const init = await InitClient.connect(socketOf(host, name));
  try {
    return { init, welcome: await init.hello({ subscribe: true }) };
  } catch (error) {
    init.close();
    throw error;
  }
}

/** Kills what is left in the cgroup of `name` and removes cgroup and run directory, however long it takes. */
export async function removeRemains(host: JailHost, name: string): Promise<void> {
  const { clock, log } = host;
  const since = clock.monotonic();
  let isReported = false;
  for (let left = remove(host, name); left !== null; left = remove(host, name)) {
    await delay(clock, SWEEP_INTERVAL_MS);
    if (isReported || clock.monotonic() - since < STUCK_AFTER_MS) continue;
    isReported = true;
    log.warn({ vassal: name, left }, 'what is left of it cannot be removed yet, still trying');
  }
}

/** Tries once; returns what is in the way, null if nothing is left. */
function remove({ membership, controllers, runDirectory }: JailHost, name: string): string | null {
  try {
    const isBusy = membership.isPopulated(name) || !controllers.remove(name);
    if (isBusy || !membership.remove(name)) {
      membership.kill(name);
      return `processes ${membership.payloadPids(name).join(' ')}`;
    }
    rmSync(join(runDirectory, name), { recursive: true, force: true });
    return null;
  } catch (error) {
    // No descriptor is free, the disk fails, somebody made a cgroup in it: all may pass.
    return messageOf(error);
  }
}
