/**
 * One attached daemon: a process in a slot of its vassal's init that is started again whenever it ends, later each
 * time while it keeps failing. What it does never reaches its vassal, but for the end of a control daemon.
 *
 * Theory. `starting` → `running` → (its end) → `backoff` → `starting`; `stopping` from anywhere, for good. A daemon
 * with a pid file is two processes: the one that was started and ends with status 0, and the one in the background,
 * which init finds by the file and gives the next slot (`adopt`); such a one is looked for before anything is
 * started, so that none runs twice.
 */
import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Daemon } from '../config/kinds/daemons.ts';
import type { InitClient, SlotEntry, SlotExit } from '../jail/init-client.ts';
import type { CommandLine } from './command-process.ts';
import { type DaemonKey, partsOf, slotOf } from './daemon-slots.ts';
import { exitOf, exitText, type ProcessExit } from './exit.ts';
import { Retry, type RetryHost } from './retry.ts';

export type DaemonState = 'starting' | 'running' | 'backoff' | 'stopping' | 'stopped';

/** What a daemon asks of its vassal. */
export interface DaemonHost extends RetryHost {
  readonly clock: Clock;
  /** Null while there is no jail. */
  readonly init: () => InitClient | null;
  /** How it is started, with absolute paths. */
  readonly lineOf: (daemon: Daemon) => DaemonLine;
  /** Whether it is wanted, and its vassal in a state to start anything. */
  readonly mayStart: (daemon: DaemonProcess) => boolean;
  /** How long it may take to end. */
  readonly graceMs: () => number;
  /** It ended by itself, or could not be started. */
  readonly onFailure: (daemon: DaemonProcess, reason: string) => void;
  /** Something went wrong that concerns no single one. */
  readonly onTrouble: (reason: string) => void;
}

export interface DaemonLine extends CommandLine {
  readonly pidFile: string | null;
  readonly touch: readonly string[];
}

export const DAEMON_KIND = 'daemon';
const SIGKILL = 9;
/** A daemon that lived this long was healthy: the next failure is a first one. */
const HEALTHY_AFTER_MS = 60_000;
const PID_FILE_WITHIN_MS = 10_000;
const PID_FILE_LOOK_MS = 100;
const TOUCH_LOOK_MS = 1000;

export class DaemonProcess {
  readonly key: DaemonKey;
  readonly daemon: Daemon;
  readonly label: string;
  readonly #host: DaemonHost;
  readonly #retry: Retry;
  #state: DaemonState = 'stopped';
  #slot: bigint | null = null;
  /** Starts so far, of earlier emperors too. */
  #run = 0;
  /** Monotonic milliseconds. */
  #startedAt = 0;
  /** Set while it is being stopped: who waits for its end. */
  #onStopped: (() => void) | null = null;
  /** Counts starts and ends: whoever waited in between finds another number. */
  #turn = 0;
  #cancelPause: () => void = () => {};

  lastExit: ProcessExit | null = null;
  lastError: string | null = null;

  constructor(
    host: DaemonHost,
    who: {
      readonly key: DaemonKey;
      readonly daemon: Daemon;
      readonly label: string;
    },
  ) {
    this.#host = host;
    this.#retry = new Retry(host);
    this.key = who.key;
    this.daemon = who.daemon;
    this.label = who.label;
  }

  get state(): DaemonState {
    return this.#state;
  }
  get slot(): bigint | null {
    return this.#slot;
  }
  get failures(): number {
    return this.#retry.failures;
  }
  get nextAttemptAtMs(): number | null {
    return this.#retry.nextAttemptAtMs;
  }

  /** Takes over a process that an earlier emperor started, alive or ended. */
  adopt(entry: SlotEntry): void {
    this.#slot = entry.slot;
    this.#run = Math.max(this.#run, partsOf(entry.slot)?.run ?? 0);
    const livedMs = entry.startedAtMs === null ? 0 : this.#host.clock.now() - entry.startedAtMs;
    this.#startedAt = this.#host.clock.monotonic() - livedMs;
    this.#enter('running');
    if (entry.exit) this.hasEndedBy(entry.exit);
    else this.#watchFiles();
  }

  /** Starts it, if nothing of it runs or is about to. */
  start(): void {
    if (this.#state === 'stopped') this.#attempt();
  }

  #attempt(): void {
    this.#tryToStart().catch((error) => this.#lost(messageOf(error)));
  }

  async #tryToStart(): Promise<void> {
    const init = this.#host.init();
    // It is asked to start again when its vassal can.
    if (!init || !this.#host.mayStart(this)) {
      this.#enter('stopped');
      return;
    }
    const line = this.#host.lineOf(this.daemon);
    this.#enter('starting');
    if (line.pidFile !== null && (await this.#findBackground(init, line.pidFile))) return;
    if (this.#state === 'starting' && this.#slot === null) await this.#startProcess(init, line);
  }

  async #startProcess(init: InitClient, line: CommandLine): Promise<void> {
    const slot = this.#take();
    const { argv, env, cwd } = line;
    try {
      await init.start({ slot, kind: DAEMON_KIND, label: this.label, argv, env, cwd });
    } catch (error) {
      if (this.#slot !== slot) return;
      // Who was only late may start it yet.
      this.#signal(init, SIGKILL);
      this.#lost(messageOf(error));
      return;
    }
    if (this.#slot === slot && this.#state === 'starting') this.#begun();
  }

  #take(): bigint {
    this.#run += 1;
    this.#slot = slotOf(this.key, this.#run);
    this.#startedAt = this.#host.clock.monotonic();
    return this.#slot;
  }

  #begun(): void {
    this.lastError = null;
    this.#enter('running');
    this.#watchFiles();
  }

  /** True if there is one in the background, which has a slot now. */
  async #findBackground(init: InitClient, pidFile: string): Promise<boolean> {
    const slot = this.#take();
    try {
      await init.adopt({ slot, kind: DAEMON_KIND, label: this.label, pidFile });
    } catch {
      // None yet: no file, no number in it, or no process of that number. Nobody knows of the slot.
      if (this.#slot !== slot) return false;
      this.#run -= 1;
      this.#slot = null;
      if (this.#state === 'stopping') this.#stopped();
      return false;
    }
    if (this.#slot === slot && this.#state === 'starting') this.#begun();
    return true;
  }

  /** Takes note of an exit; true if it was this daemon's. */
  hasEndedBy(exit: SlotExit): boolean {
    if (this.#slot === null || exit.slot !== this.#slot) return false;
    this.lastExit = exitOf(exit.status);
    if (this.#state === 'stopping') this.#stopped();
    else if (this.daemon.pidFile !== null && exit.status === 0) {
      this.#awaitBackground().catch((error) => this.#lost(messageOf(error)));
    } else this.#lost(`it ended: ${exitText(this.lastExit)}`);
    return true;
  }

  /** What was started has gone into the background, or it has ended. */
  async #awaitBackground(): Promise<void> {
    this.#slot = null;
    const turn = this.#enter('starting');
    const pidFile = this.#host.lineOf(this.daemon).pidFile ?? '';
    const { clock } = this.#host;
    const withinMs = this.daemon.freqMs ?? PID_FILE_WITHIN_MS;
    const until = clock.monotonic() + withinMs;
    for (;;) {
      const init = this.#host.init();
      if (!init || (await this.#findBackground(init, pidFile)) || turn !== this.#turn) return;
      if (clock.monotonic() >= until) break;
      await this.#pause(PID_FILE_LOOK_MS);
    }
    this.#lost(
      `it ended with status 0, and ${withinMs / 1000} s later ${pidFile} names no living ` +
        'process in the background; a program that stays in the foreground needs `attach-daemon`',
    );
  }

  /** It does not run, though it should. */
  #lost(reason: string): void {
    this.#slot = null;
    if (this.#state === 'stopping') {
      this.#stopped();
      return;
    }
    const livedMs = this.#host.clock.monotonic() - this.#startedAt;
    if (livedMs >= HEALTHY_AFTER_MS) this.#retry.failures = 0;
    this.#retry.failures += 1;
    this.lastError = reason;
    this.#retry.schedule(() => this.#attempt());
    this.#enter('backoff');
    this.#host.onFailure(this, reason);
  }

  /** Ends it: its stop signal, after the grace SIGKILL; resolves when it has ended. Then it can be started anew. */
  async stop(graceMs: number): Promise<void> {
    this.#retry.cancel();
    const init = this.#host.init();
    const { pidFile } = this.daemon;
    // It may have gone into the background just now.
    if (init && pidFile !== null && this.#slot === null && this.#state === 'starting') {
      await this.#findBackground(init, this.#host.lineOf(this.daemon).pidFile ?? pidFile);
    }
    if (!init || this.#slot === null) {
      this.#enter('stopped');
      return;
    }
    this.#enter('stopping');
    const ended = new Promise<void>((resolve) => {
      const before = this.#onStopped;
      this.#onStopped = () => {
        before?.();
        resolve();
      };
    });
    this.#signal(init, this.daemon.stopSignal);
    const cancel = this.#host.clock.after(graceMs, () => this.#signal(init, SIGKILL));
    await ended;
    cancel();
  }

  /** A reload that leaves it alone but for a signal; false if it is to be started anew instead. */
  reloadInPlace(): boolean {
    const { reloadSignal, pidFile } = this.daemon;
    const init = this.#host.init();
    if (reloadSignal !== null && init) this.#signal(init, reloadSignal);
    return reloadSignal !== null || pidFile !== null;
  }

  #signal(init: InitClient, signo: number): void {
    if (this.#slot === null) return;
    init.signal(this.#slot, signo).catch(() => {
      // It has ended meanwhile; its exit is on the way, or its init is lost.
    });
  }

  /** Its jail has died, or its emperor lets go. */
  lose(): void {
    this.#retry.cancel();
    this.#stopped();
  }

  #stopped(): void {
    this.#slot = null;
    this.#enter('stopped');
    this.#onStopped?.();
    this.#onStopped = null;
  }

  #enter(state: DaemonState): number {
    this.#turn += 1;
    this.#cancelPause();
    this.#state = state;
    return this.#turn;
  }

  /** Never resolves if it enters another state meanwhile. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#cancelPause = this.#host.clock.after(ms, resolve);
    });
  }

  #watchFiles(): void {
    this.#watchTouch().catch((error) => {
      this.lastError = messageOf(error);
    });
  }

  /** Looks at its files until it ends; a modification ends it, and it is started anew. */
  async #watchTouch(): Promise<void> {
    const turn = this.#turn;
    const { touch } = this.#host.lineOf(this.daemon);
    if (touch.length === 0) return;
    let before: string | undefined;
    for (;;) {
      const init = this.#host.init();
      const seen = init && (await modificationsOf(init, touch));
      if (turn !== this.#turn || !init) return;
      if (before !== undefined && seen !== null && seen !== before) {
        await this.stop(this.#host.graceMs());
        return this.start();
      }
      before = seen ?? before;
      await this.#pause(this.daemon.freqMs ?? TOUCH_LOOK_MS);
    }
  }
}

/** Null where init does not answer. */
async function modificationsOf(init: InitClient, paths: readonly string[]): Promise<string | null> {
  try {
    return (await Promise.all(paths.map((path) => init.look(path)))).join(' ');
  } catch {
    return null;
  }
}
