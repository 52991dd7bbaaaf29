/**
 * One vassal: runs the lifecycle table (lifecycle.ts) over a real jail.
 *
 * Theory of operation. Events come from outside (a file, an operator) and from below (an exit, a death, a
 * timer). raise() looks up the table, takes the new state at once and queues the actions; actions run one
 * after another, so launching and ending never overlap, and report back by raising further events. What is
 * wanted and what is applied are two values; settle() compares them whenever the vassal comes to rest in
 * `running`. Nothing here is shared with another vassal but the start limit.
 */
import { type BackoffPolicy, backoffMs } from '../base/backoff.ts';
import { EmperorError, messageOf } from '../base/errors.ts';
import type { Semaphore } from '../base/semaphore.ts';
import type { Leaves } from '../cgroup/membership.ts';
import { costOf } from '../config/change-cost.ts';
import type { VassalConfig } from '../config/vassal-config.ts';
import { Refusal } from '../jail/connection.ts';
import type { SlotExit } from '../jail/init-client.ts';
import type { JailPlan } from '../jail/plan.ts';
import { errnoName } from '../linux/errno.ts';
import { exitOf, type ProcessExit } from './exit.ts';
import { Jail, type JailHost, removeRemains } from './jail.ts';
import { type Action, type LifecycleEvent, transition } from './lifecycle.ts';
import type { VassalState } from './state.ts';

/** What a vassal should be: a valid configuration and where it came from. */
export interface Wanted {
  readonly config: VassalConfig;
  /** Of the resolved configuration. */
  readonly hash: string;
  /** Of the file. */
  readonly sha256: string;
}

/** What runs (or ran last): what was wanted when it was applied. */
export interface Applied extends Wanted {
  readonly generation: number;
}

/** How a command is started inside. */
export interface CommandLine {
  readonly argv: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
}

export interface VassalHost extends JailHost {
  readonly startLimit: Semaphore;
  readonly backoff: BackoffPolicy;
  readonly random: () => number;
  /** Throws `bad-distro` and the like where no jail can be made of it. */
  readonly planJail: (applied: Applied, leaves: Leaves, runDirectory: string) => JailPlan;
  readonly commandLine: (config: VassalConfig) => CommandLine | null;
  readonly onChange: (vassal: Vassal, event: LifecycleEvent | 'applied') => void;
}

/** A command that lived this long was healthy: the next failure is a first one. */
const HEALTHY_AFTER_MS = 60_000;
const COMMAND_LABEL = 'command';
/** Failed steps that may go away by themselves; all others wait for a change. */
const PASSING_ERRNOS: ReadonlySet<string> = new Set(
  'EAGAIN ENOMEM ENOSPC EMFILE ENFILE EBUSY ETIMEDOUT ECHILD EIO ECONNREFUSED ECONNRESET EPIPE'.split(
    ' ',
  ),
);

export class Vassal {
  readonly name: string;
  readonly #host: VassalHost;
  #state: VassalState = 'stopped';
  #wanted: Wanted | null = null;
  #applied: Applied | null = null;
  #isHeld = false;
  /** The command ended and its `restart` policy leaves it at that. */
  #isFinished = false;
  #jail: Jail | null = null;
  #commandSlot: bigint | null = null;
  #nextSlot = 1n;
  /** Set while the command is being replaced: who waits for the old one's end. */
  #awaitedExit: { slot: bigint; resolve: () => void } | null = null;
  #queue: Promise<void> = Promise.resolve();
  #isLaunching = false;
  #cancelRetry: () => void = () => {};

  startedAtMs: number | null = null;
  #commandSince = 0;
  restarts = 0;
  failures = 0;
  nextAttemptAtMs: number | null = null;
  lastExit: (ProcessExit & { readonly atMs: number }) | null = null;
  lastError: string | null = null;

  /** `past` is what an earlier emperor knew: the last applied configuration, and a stop that holds. */
  constructor(
    name: string,
    host: VassalHost,
    past: { readonly applied: Applied | null; readonly isHeld: boolean },
  ) {
    this.name = name;
    this.#host = host;
    this.#applied = past.applied;
    this.#isHeld = past.isHeld;
  }

  get state(): VassalState {
    return this.#state;
  }
  get wanted(): Wanted | null {
    return this.#wanted;
  }
  get applied(): Applied | null {
    return this.#applied;
  }
  get isHeld(): boolean {
    return this.#isHeld;
  }
  get jail(): Jail | null {
    return this.#jail;
  }
  get commandSlot(): bigint | null {
    return this.#commandSlot;
  }
  /** True while the wanted configuration is what runs. */
  get isApplied(): boolean {
    return this.#wanted?.hash === this.#applied?.hash && this.#jail !== null;
  }

  /** Sets what it should be; `null` ends it. A change lets go of an operator's stop. */
  want(wanted: Wanted | null): void {
    this.#wanted = wanted;
    if (wanted === null) this.raise('end');
    else this.nudge();
  }

  /** A changed or touched file: clears backoff and hold, applies what differs. */
  nudge(): void {
    this.#isHeld = false;
    this.#isFinished = false;
    this.failures = 0;
    this.#settle();
  }

  /** There is no configuration that it could run with. */
  refuse(message: string): void {
    this.lastError = message;
    this.raise('refuse');
  }

  /** Operator: holds until start() or a change of the file. */
  stop(): void {
    this.#isHeld = true;
    this.raise('end');
  }

  start(): void {
    this.nudge();
  }

  /** Operator: a new jail and a new command, whatever the state. */
  restart(): void {
    this.#isHeld = false;
    this.#isFinished = false;
    this.failures = 0;
    if (this.#jail) this.raise('change-jail');
    this.raise('begin');
  }

  /** Operator, with nothing to apply: reload-signal, or a new command. */
  async reload(): Promise<void> {
    const signal = this.#applied?.config.reloadSignal;
    if (signal && this.#jail && this.#commandSlot !== null) {
      await this.#jail.init.signal(this.#commandSlot, signal);
    } else {
      this.raise('change-process');
      this.raise('begin');
    }
  }

  freeze(): void {
    this.raise('freeze');
  }

  thaw(): void {
    this.raise('thaw');
  }

  /** Takes over a jail that runs already, with the record of what was applied to it, if it is left. */
  async adopt(jail: Jail, applied: Applied | null, state: 'running' | 'stopping'): Promise<void> {
    this.#take(jail);
    this.#applied = applied;
    this.startedAtMs = this.#host.clock.now();
    const slots = await jail.init.list();
    for (const slot of slots) if (slot.slot >= this.#nextSlot) this.#nextSlot = slot.slot + 1n;
    const commands = slots.filter((slot) => slot.kind === 'command');
    const live = commands.find((slot) => slot.state !== 'ended');
    this.#commandSlot = live?.slot ?? null;
    this.startedAtMs = live?.startedAtMs ?? this.startedAtMs;
    this.#state = this.#host.membership.isFrozen(this.name) ? 'frozen' : 'running';
    const ended = commands.find((slot) => slot.state === 'ended');
    if (state === 'stopping') this.raise('end');
    else if (!live && ended?.exit) {
      this.#noteExit(ended.exit);
      this.#ack(ended.slot);
    }
  }

  /** Forgets the jail without ending it: the emperor leaves. */
  release(): void {
    this.#cancelRetry();
    this.#jail?.release();
  }

  /** Resolves when everything queued so far is done. */
  idle(): Promise<void> {
    return this.#queue;
  }

  raise(event: LifecycleEvent): void {
    const before = this.#state;
    const { to, actions } = transition(before, event);
    this.#state = to;
    if (event === 'end' && this.#isLaunching) this.#host.membership.kill(this.name);
    for (const action of actions) this.#enqueue(action);
    if (to !== before || actions.length > 0) this.#host.onChange(this, event);
    if (to === 'running' && before !== 'running') this.#settle();
  }

  /** Compares what is wanted with what is, and raises the event that closes the gap. */
  #settle(): void {
    if (!this.#isWanted()) return;
    const resting = ['stopped', 'failed', 'backoff', 'running', 'frozen'];
    if (!resting.includes(this.#state)) return;
    const cost = this.#cost();
    if (this.#jail && cost === 'jail') this.raise('change-jail');
    else if (['stopped', 'failed', 'backoff'].includes(this.#state)) this.raise('begin');
    else if (cost === 'process') this.raise('change-process');
    else if (cost === 'live') this.raise('change-live');
    else this.#apply();
  }

  #isWanted(): boolean {
    return this.#wanted !== null && !this.#isHeld && !this.#isFinished;
  }

  #cost(): 'none' | 'live' | 'process' | 'jail' {
    if (!this.#wanted || this.#wanted.hash === this.#applied?.hash) return 'none';
    return this.#applied ? costOf(this.#applied.config, this.#wanted.config).cost : 'jail';
  }

  #enqueue(action: Action): void {
    this.#queue = this.#queue
      .then(() => this.#perform(action))
      .catch((error) => {
        this.#host.log.error(
          { vassal: this.name, action, error: messageOf(error) },
          'action failed',
        );
        this.lastError = messageOf(error);
      });
  }

  async #perform(action: Action): Promise<void> {
    switch (action) {
      case 'launch':
        return this.#host.startLimit.run(() => this.#launch());
      case 'end':
        return this.#end();
      case 'clean':
        this.#jail = null;
        return removeRemains(this.#host, this.name);
      case 'schedule':
        return this.#schedule();
      case 'unschedule':
        return this.#unschedule();
      case 'apply-live':
        return this.#apply();
      case 'restart-command':
        return this.#restartCommand();
      case 'freeze':
        return this.#host.membership.setFrozen(this.name, true);
      case 'thaw':
        return this.#host.membership.setFrozen(this.name, false);
    }
  }

  async #launch(): Promise<void> {
    if (this.#state !== 'starting' || !this.#wanted) return;
    this.#isLaunching = true;
    try {
      if (!this.#jail) await this.#makeJail(this.#wanted);
      await this.#startCommand();
      this.lastError = null;
      this.raise('started');
    } catch (error) {
      this.lastError = messageOf(error);
      this.#host.log.warn({ vassal: this.name, error: this.lastError }, 'start failed');
      const isRefused = this.#jail === null && !isPassing(error);
      if (!isRefused) this.failures += 1;
      this.raise(isRefused ? 'start-refused' : 'start-failed');
    } finally {
      this.#isLaunching = false;
    }
  }

  async #makeJail(wanted: Wanted): Promise<void> {
    const applied = this.#next(wanted);
    const jail = await Jail.launch(this.#host, this.name, (leaves, runDirectory) =>
      this.#host.planJail(applied, leaves, runDirectory),
    );
    this.#take(jail);
    this.#nextSlot = 1n;
    this.startedAtMs = this.#host.clock.now();
    this.#note(applied);
  }

  #take(jail: Jail): void {
    this.#jail = jail;
    jail.onExit = (exit) => this.#processEnded(exit);
    jail.onDeath = () => this.#jailDied(jail);
  }

  async #startCommand(): Promise<void> {
    const jail = this.#jail;
    const config = this.#applied?.config;
    if (!jail || !config) throw new EmperorError('start-failed', 'the jail ended meanwhile');
    const command = this.#host.commandLine(config);
    if (!command) return;
    const slot = this.#nextSlot;
    this.#nextSlot += 1n;
    this.#commandSlot = slot;
    this.#commandSince = this.#host.clock.monotonic();
    await jail.init.start({ slot, kind: 'command', label: COMMAND_LABEL, ...command });
  }

  #processEnded(exit: SlotExit): void {
    if (this.#awaitedExit?.slot === exit.slot) this.#awaitedExit.resolve();
    else if (exit.slot === this.#commandSlot) this.#noteExit(exit);
    this.#ack(exit.slot);
  }

  #noteExit(exit: SlotExit): void {
    this.#commandSlot = null;
    this.lastExit = { ...exitOf(exit.status), atMs: exit.endedAtMs };
    if (this.#state === 'stopping') return;
    if (this.#host.clock.monotonic() - this.#commandSince >= HEALTHY_AFTER_MS) this.failures = 0;
    const policy = this.#applied?.config.restart ?? 'always';
    const isFailure = this.lastExit.code !== 0;
    if (policy === 'always' || (policy === 'on-failure' && isFailure)) {
      this.failures += 1;
      this.restarts += 1;
      this.raise('exited-again');
    } else {
      this.#isFinished = true;
      this.raise('exited-final');
    }
  }

  #ack(slot: bigint): void {
    this.#jail?.init.ack(slot).catch(() => {
      // The init has ended; its records went with it.
    });
  }

  #jailDied(jail: Jail): void {
    if (this.#jail !== jail) return;
    this.#jail = null;
    this.#commandSlot = null;
    this.#awaitedExit?.resolve();
    if (this.#state === 'stopping' || this.#state === 'reloading') return;
    this.failures += 1;
    this.restarts += 1;
    this.lastError = 'init ended unexpectedly';
    this.raise('died');
  }

  async #end(): Promise<void> {
    const jail = this.#jail;
    if (jail) {
      const config = this.#applied?.config;
      await jail.stop({ graceMs: config?.stopGraceMs ?? 10_000, signal: config?.stopSignal ?? 15 });
      this.#jail = null;
    } else {
      await removeRemains(this.#host, this.name);
    }
    this.#commandSlot = null;
    this.startedAtMs = null;
    this.raise(this.#isWanted() ? 'ended-wanted' : 'ended');
  }

  #schedule(): void {
    const wait = backoffMs(this.#host.backoff, this.failures, this.#host.random());
    this.nextAttemptAtMs = this.#host.clock.now() + wait;
    this.#cancelRetry();
    this.#cancelRetry = this.#host.clock.after(wait, () => {
      this.nextAttemptAtMs = null;
      this.raise('retry');
    });
  }

  #unschedule(): void {
    this.nextAttemptAtMs = null;
    this.#cancelRetry();
  }

  /** Takes over the wanted configuration where nothing has to be restarted for it. */
  #apply(): void {
    if (!this.#wanted || !this.#jail) return;
    const isSame =
      this.#wanted.hash === this.#applied?.hash && this.#wanted.sha256 === this.#applied.sha256;
    if (isSame) return;
    this.#note(this.#next(this.#wanted));
    this.#tellInit();
  }

  /** The same configuration keeps its generation; a different one counts up. */
  #next(wanted: Wanted): Applied {
    const before = this.#applied;
    const step = before?.hash === wanted.hash ? 0 : 1;
    return { ...wanted, generation: (before?.generation ?? 0) + step };
  }

  #note(applied: Applied): void {
    this.#applied = applied;
    this.#host.onChange(this, 'applied');
  }

  #tellInit(): void {
    const { generation, hash } = this.#applied ?? {};
    if (generation === undefined || hash === undefined) return;
    this.#jail?.init.meta({ generation, hash }).catch((error) => {
      this.#host.log.debug({ vassal: this.name, error: messageOf(error) }, 'init did not answer');
    });
  }

  async #restartCommand(): Promise<void> {
    const jail = this.#jail;
    if (!jail || this.#state !== 'reloading') return;
    try {
      await this.#stopCommand(jail);
      if (this.#jail !== jail) return this.raise('died');
      this.#apply();
      await this.#startCommand();
      this.lastError = null;
      this.raise('started');
    } catch (error) {
      this.lastError = messageOf(error);
      this.failures += 1;
      this.raise('start-failed');
    }
  }

  async #stopCommand(jail: Jail): Promise<void> {
    const slot = this.#commandSlot;
    const config = this.#applied?.config;
    if (slot === null || !config) return;
    const ended = new Promise<void>((resolve) => {
      this.#awaitedExit = { slot, resolve };
    });
    await jail.init.signal(slot, config.stopSignal);
    const cancel = this.#host.clock.after(config.stopGraceMs, () => {
      jail.init.signal(slot, 9).catch(() => {
        // Already gone.
      });
    });
    await ended;
    cancel();
    this.#awaitedExit = null;
    this.#commandSlot = null;
  }
}

function isPassing(error: unknown): boolean {
  const { code, cause } = error as { code?: string; cause?: unknown };
  if (code === 'not-reachable' || code === 'timeout') return true;
  const name = cause instanceof Refusal ? errnoName(cause.errno) : code;
  return PASSING_ERRNOS.has(name ?? '');
}
