/**
 * One vassal: runs the lifecycle table (lifecycle.ts) over a real jail.
 *
 * Theory of operation. Events come from outside (a file, an operator) and from below (an exit, a death, a
 * timer). raise() looks up the table, takes the new state at once and queues the actions; actions run one
 * after another, so launching and ending never overlap, and report back by raising further events. What is
 * wanted and what is applied are two values; settle() compares them whenever the vassal comes to rest in
 * `running`. Nothing here is shared with another vassal but the limits of starts and endings.
 */
import { EmperorError, messageOf } from '../base/errors.ts';
import type { Semaphore } from '../base/semaphore.ts';
import type { Unmet } from '../cgroup/controllers.ts';
import type { Cgroups } from '../cgroup/membership.ts';
import { type ChangeCost, costOf } from '../config/change-cost.ts';
import type { Daemon } from '../config/kinds/daemons.ts';
import type { Ready } from '../config/kinds/ready.ts';
import type { VassalConfig } from '../config/vassal-config.ts';
import { Refusal } from '../jail/connection.ts';
import type { SlotEntry, SlotExit, SlotNotice, Welcome } from '../jail/init-client.ts';
import type { JailPlan } from '../jail/plan.ts';
import { errnoName } from '../linux/errno.ts';
import { isListening } from '../linux/listening.ts';
import type { Alarm } from './alarms.ts';
import { CommandProcess, type MainLine } from './command-process.ts';
import type { DaemonLine, DaemonProcess } from './daemon-process.ts';
import { Daemons } from './daemons.ts';
import type { DailyCpuUse } from './daily-cpu.ts';
import { exitOf, type ProcessExit } from './exit.ts';
import { type InnerHookOptions, InnerHooks } from './inner-hooks.ts';
import { Jail, type JailHost, type Launch, removeRemains } from './jail.ts';
import { KeptLimits, type KeptLimitsHost, type UnmetNews } from './kept-limits.ts';
import { type Action, type LifecycleEvent, transition } from './lifecycle.ts';
import { Readiness } from './readiness.ts';
import { Retry, type RetryHost } from './retry.ts';
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

/** What an earlier emperor knew of a vassal. */
export interface Past {
  readonly applied: Applied | null;
  /** An operator's `stop`. */
  readonly isHeld: boolean;
  /** What its file was then, though it was not what ran. */
  readonly heldSha256: string | null;
  /** Its command ended for good since the machine was booted. */
  readonly isFinished: boolean;
}

export interface VassalHost extends JailHost, RetryHost, KeptLimitsHost {
  readonly startLimit: Semaphore;
  /** For starts with hooks or with a home to be made, which may take their time: they delay only their like. */
  readonly hookedStartLimit: Semaphore;
  /** For whatever ends a command: see docs/decisions/0012-endings-are-paced.md. */
  readonly endLimit: Semaphore;
  /** Throws `bad-distro` and the like where no jail can be made of it. */
  readonly planJail: (applied: Applied, cgroups: Cgroups, runDirectory: string) => JailPlan;
  readonly commandLine: (config: VassalConfig) => MainLine | null;
  /** The homes of limited size. Both return what is not kept; follow() never fails. */
  readonly homes: {
    /** Tells whether prepare() may take its time. */
    readonly isSlow: (config: VassalConfig) => boolean;
    /** Before a start. Throws where it cannot start so. */
    readonly prepare: (config: VassalConfig) => Promise<readonly Unmet[]>;
    /** While it runs, its init being `pid`. */
    readonly follow: (config: VassalConfig, pid: number) => Promise<readonly Unmet[]>;
  };
  /** How it shows that it is ready, with an absolute path; null: by running. */
  readonly readyOf: (config: VassalConfig) => Ready | null;
  /** How one of its daemons is started. */
  readonly daemonLine: (config: VassalConfig, daemon: Daemon) => DaemonLine;
  /** Lines that the operator has run on the host around its life. */
  readonly hooks: {
    readonly hasBefore: (config: VassalConfig) => boolean;
    /** Throws where one fails; the signal ends them. */
    readonly before: (config: VassalConfig, signal: AbortSignal) => Promise<void>;
    readonly after: (config: VassalConfig) => Promise<void>;
  };
  /** Where the hooks inside run. */
  readonly hookPlace: (config: VassalConfig) => Omit<InnerHookOptions, 'init'>;
  readonly onHookFailure: (vassal: Vassal, message: string) => void;
  /** What connects its jail with the world outside; null where it has no network. */
  readonly connectorOf: (config: VassalConfig) => Launch['connect'];
  /** Has what is outside of a running jail follow its configuration, such as the firewall. */
  readonly applyLive: (config: VassalConfig) => Promise<void>;
  /** It has met one of its limits. */
  readonly onAlarm: (vassal: Vassal, alarm: Alarm) => void;
  /** It has used its `daily-cpu`, or has a new one. */
  readonly onDailyCpu: (vassal: Vassal, isSpent: boolean) => void;
  readonly onUnmet: (vassal: Vassal, news: UnmetNews) => void;
  readonly onChange: (vassal: Vassal, event: LifecycleEvent | 'applied' | 'ready') => void;
  /** What was started by others in its jail, and is theirs to acknowledge: of an adopted init, or ended now. */
  readonly onForeign: (vassal: Vassal, found: ForeignProcesses) => void;
  /** The crontab in its home may say something else. */
  readonly onCrontab: (vassal: Vassal) => void;
  /** One of its daemons ended, or could not be started; it is tried again by itself. */
  readonly onDaemonFailure: (vassal: Vassal, daemon: { label: string; reason: string }) => void;
}

export type ForeignProcesses =
  | { readonly found: readonly SlotEntry[] }
  | { readonly ended: SlotExit };

/** Kinds of processes that the emperor's scheduler starts. */
const FOREIGN_KINDS: ReadonlySet<string> = new Set(['cron']);

/** A command that lived this long was healthy: the next failure is a first one. */
const HEALTHY_AFTER_MS = 60_000;
/** So long an ending keeps others from beginning: who ends by itself has done so by then. */
const ENDING_MS = 100;
/** A command that has not begun by then keeps no other vassal from starting. */
const SLOW_COMMAND_MS = 1000;
const DEFAULT_STOP = { signal: 15, graceMs: 10_000 };
/** Failed steps that may go away by themselves; all others wait for a change. */
const PASSING_ERRNOS: ReadonlySet<string> = new Set(
  (
    'EAGAIN ENOMEM ENOSPC EMFILE ENFILE EBUSY ETIMEDOUT ECHILD ESRCH EIO ' +
    'ECONNREFUSED ECONNRESET EPIPE'
  ).split(' '),
);

export class Vassal {
  readonly name: string;
  readonly #host: VassalHost;
  readonly #command: CommandProcess;
  readonly #daemons: Daemons;
  readonly #retry: Retry;
  readonly #readiness: Readiness;
  readonly #innerHooks: InnerHooks;
  readonly #limits: KeptLimits;
  #state: VassalState = 'stopped';
  #wanted: Wanted | null = null;
  #applied: Applied | null;
  /** What an adopted init runs when no record tells the configuration behind that hash. */
  #unknown: Pick<Applied, 'hash' | 'generation'> | null = null;
  #isHeld: boolean;
  #heldSha256: string | null;
  #isFinished: boolean;
  /** The emperor ends everything. */
  #isRetired = false;
  /** The emperor has let go: what is queued is the next emperor's business. */
  #isReleased = false;
  #jail: Jail | null = null;
  #hasRemains = false;
  #queue: Promise<void> = Promise.resolve();
  #isLaunching = false;
  /** A new command takes the place of the old one, in the same jail. */
  #isReplacing = false;
  /** The operator's hooks on the host know of its jail, and are to be told of the end. */
  #isAnnounced = false;
  /** Ends hooks on the host that run before a start. */
  #hooking: AbortController | null = null;
  /** A new command runs, and what is to run behind it has not. */
  #isPostAppDue = false;
  /** Why the command was ended, though nobody asked for it; its end is a failure then. */
  #endedBecause: string | null = null;
  /** The command of an adopted jail had said that it is ready. */
  #saidReady = false;
  /** Monotonic milliseconds. */
  #thawedAt = Number.NEGATIVE_INFINITY;

  /** How many wait for what it was told to do: their vassal goes before those that nobody waits for. */
  awaitedBy = 0;
  restarts = 0;
  lastExit: (ProcessExit & { readonly atMs: number }) | null = null;
  lastError: string | null = null;

  constructor(name: string, host: VassalHost, past: Past) {
    this.name = name;
    this.#host = host;
    this.#command = new CommandProcess(host.clock);
    this.#daemons = this.#makeDaemons();
    this.#retry = new Retry(host);
    this.#readiness = new Readiness(host.clock, () => {
      this.#host.onChange(this, 'ready');
      this.#runPostApp();
    });
    this.#innerHooks = new InnerHooks(host.clock, host.random);
    this.#limits = new KeptLimits(name, host, {
      onAlarm: (alarm) => host.onAlarm(this, alarm),
      onDailyCpu: (isSpent) => host.onDailyCpu(this, isSpent),
      onUnmet: (news) => host.onUnmet(this, news),
    });
    this.#applied = past.applied;
    this.#isHeld = past.isHeld;
    this.#heldSha256 = past.heldSha256;
    this.#isFinished = past.isFinished;
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
  get heldSha256(): string | null {
    return this.#heldSha256;
  }
  get isFinished(): boolean {
    return this.#isFinished;
  }
  get jail(): Jail | null {
    return this.#jail;
  }
  /** It runs, and has shown that it can be used. */
  get isReady(): boolean {
    return this.#state === 'running' && this.#readiness.isReady;
  }
  /** The last of each kind. */
  get alarms(): readonly Alarm[] {
    return [...this.#limits.alarms.last.values()];
  }
  /** Limits that are not kept. */
  get unmet(): readonly Unmet[] {
    return this.#limits.unmet;
  }
  /** Null without `daily-cpu`. */
  get dailyCpu(): DailyCpuUse | null {
    return this.#limits.dailyCpu;
  }
  get daemons(): readonly DaemonProcess[] {
    return this.#daemons.all;
  }
  get failures(): number {
    return this.#retry.failures;
  }
  get nextAttemptAtMs(): number | null {
    return this.#retry.nextAttemptAtMs;
  }
  /** True while the wanted configuration is what runs, or what ran to its end. */
  get isApplied(): boolean {
    if (this.#wanted === null || this.#wanted.hash !== this.#applied?.hash) return false;
    return this.#jail !== null || this.#isFinished;
  }

  // ── what it should be ────────────────────────────────────────────────────────────────────────

  /**
   * Sets what it should be; `null` ends it. A changed file lets go of an operator's stop; any change clears
   * the backoff and runs a finished command again.
   */
  want(wanted: Wanted | null): void {
    const before = this.#wanted ?? this.#applied;
    const isFirst = this.#wanted === null;
    this.#wanted = wanted;
    if (wanted === null) {
      this.raise('end');
      return;
    }
    this.#recognise(wanted);
    const isNewText = wanted.sha256 !== before?.sha256 && wanted.sha256 !== this.#heldSha256;
    if (isNewText) this.#isHeld = false;
    const isChange = wanted.sha256 !== before?.sha256 || wanted.hash !== before.hash;
    if (isChange) this.#forgetFailures();
    if (isFirst || isChange) this.#begin();
    this.#settle();
  }

  /** The file was touched, or an operator forgives: clears a backoff, and nothing else. */
  touch(): void {
    if (!this.#isIn('backoff', 'failed')) return;
    this.#retry.failures = 0;
    this.#begin();
  }

  /** There is no configuration that it could run with. */
  refuse(message: string): void {
    this.lastError = message;
    this.raise('refuse');
  }

  /** Operator: holds until start() or a change of the file, whose content is `sha256` now. */
  stop(sha256: string | null): void {
    this.#isHeld = true;
    this.#heldSha256 = sha256;
    this.raise('end');
  }

  start(): void {
    this.#isHeld = false;
    this.#forgetFailures();
    this.#begin();
  }

  /** Operator: a new jail and a new command, whatever the state. */
  restart(): void {
    if (this.#jail) {
      this.#isHeld = false;
      this.#forgetFailures();
      this.raise('change-jail');
    } else this.start();
  }

  /** Operator, with nothing to apply: reload-signal, or a new command. */
  async reload(): Promise<void> {
    const signal = this.#applied?.config.reloadSignal;
    if (signal && this.#jail && this.#command.slot !== null) {
      await this.#jail.init.signal(this.#command.slot, signal);
      for (const daemon of this.daemons) daemon.reloadInPlace();
    } else if (this.#state === 'running') {
      this.raise('change-process');
    } else this.start();
  }

  /** The emperor ends everything: nothing starts again. */
  retire(): void {
    this.#isRetired = true;
    this.raise('end');
  }

  /** Takes over a jail that runs already; `applied` is the record of what was applied to it, if it is left. */
  async adopt(jail: Jail, welcome: Welcome, applied: Applied | null): Promise<void> {
    this.#applied = applied;
    this.#unknown = applied ? null : welcome;
    this.#state = this.#host.membership.isFrozen(this.name) ? 'frozen' : 'running';
    this.#isAnnounced = true;
    this.#take(jail);
    if (applied) {
      this.#limits.apply(applied.config, jail.startedAtMs);
      void this.#followHome(applied.config);
    }
    const slots = await jail.init.list().catch(() => null);
    if (this.#jail !== jail) return;
    const found = this.#command.adopt(slots ?? []);
    this.#daemons.adopt(slots ?? []);
    const foreign = (slots ?? []).filter(({ kind }) => FOREIGN_KINDS.has(kind));
    if (foreign.length > 0) this.#host.onForeign(this, { found: foreign });
    // Where init does not tell what it runs, a start would be a second copy.
    if (welcome.state === 'stopping' || !slots || this.#isToRest()) return this.raise('end');
    this.#isFinished = false;
    this.#saidReady = found?.isReady ?? false;
    if (applied) this.#awaitReady();
    if (this.#command.slot !== null) return;
    if (found?.exit) {
      this.#ack(found.slot);
      this.#noteExit(found.exit);
    } else if (applied?.config.command !== null) {
      // The emperor died while the command did not run; the first want() begins again.
      this.#state = 'backoff';
    }
  }

  /** The earlier emperor had decided that it shall not run, and died before it was done. */
  #isToRest(): boolean {
    return this.#isHeld || (this.#isFinished && this.#command.slot === null);
  }

  /** Forgets the jail without ending it: the emperor leaves. */
  release(): void {
    this.#isReleased = true;
    this.#limits.stop();
    this.#retry.cancel();
    this.#daemons.lose();
    this.#nothingRuns();
    this.#jail?.release();
  }

  /** Resolves when everything queued so far is done. */
  idle(): Promise<void> {
    return this.#queue;
  }

  // ── events and actions ───────────────────────────────────────────────────────────────────────

  raise(event: LifecycleEvent): void {
    const before = this.#state;
    const { to, actions } = transition(before, event);
    this.#state = to;
    if (event === 'end' && this.#isLaunching) this.#host.membership.kill(this.name);
    if (event === 'end') this.#hooking?.abort();
    for (const action of actions) this.#enqueue(action);
    if (to !== before || actions.length > 0) this.#host.onChange(this, event);
    if (to === 'running' && before !== 'running') this.#settle();
  }

  /** Starts it if it rests and is wanted. */
  #begin(): void {
    if (!this.#isWanted() || !this.#isIn('stopped', 'failed', 'backoff')) return;
    this.raise(this.#jail && this.#cost() === 'jail' ? 'change-jail' : 'begin');
  }

  /** Compares what is wanted with what runs, and raises the event that closes the gap. */
  #settle(): void {
    if (!this.#isWanted() || !this.#isIn('running', 'frozen')) return;
    const cost = this.#cost();
    if (cost === 'jail') this.raise('change-jail');
    else if (cost === 'process') this.raise('change-process');
    else if (this.#differs()) this.raise('change-live');
    else this.#wantDaemons();
  }

  #isWanted(): boolean {
    return this.#wanted !== null && !this.#isHeld && !this.#isFinished && !this.#isRetired;
  }

  #differs(): boolean {
    const { hash, sha256 } = this.#applied ?? {};
    return this.#wanted?.hash !== hash || this.#wanted?.sha256 !== sha256;
  }

  #cost(): ChangeCost {
    if (!this.#wanted || this.#wanted.hash === this.#applied?.hash) return 'none';
    return this.#applied ? costOf(this.#applied.config, this.#wanted.config).cost : 'jail';
  }

  #forgetFailures(): void {
    this.#isFinished = false;
    this.#retry.failures = 0;
    this.#endedBecause = null;
    this.lastError = null;
  }

  #enqueue(action: Action): void {
    this.#queue = this.#queue
      .then(() => this.#perform(action))
      .catch((error) => {
        this.lastError = messageOf(error);
        this.#host.log.error(
          { vassal: this.name, action, error: this.lastError },
          'an action failed',
        );
      });
  }

  async #perform(action: Action): Promise<void> {
    if (this.#isReleased) return;
    switch (action) {
      case 'launch':
        return this.#launch();
      case 'end':
        return this.#end();
      case 'clean':
        return this.#clean();
      case 'schedule':
        return this.#retry.schedule(() => this.raise('retry'));
      case 'unschedule':
        return this.#retry.cancel();
      case 'apply-live':
        return this.#applyLive();
      case 'restart-command':
        return this.#restartCommand();
      case 'freeze':
        return this.#host.membership.setFrozen(this.name, true);
      case 'thaw':
        this.#thawedAt = this.#host.clock.monotonic();
        return this.#host.membership.setFrozen(this.name, false);
    }
  }

  // ── starting ─────────────────────────────────────────────────────────────────────────────────

  /** Cleans up outside of the limit: what cannot be killed yet must not keep others from starting. */
  async #launch(): Promise<void> {
    if (this.#hasRemains) await this.#clean();
    try {
      await this.#startLimit().run((giveBack) => this.#start(giveBack));
    } catch (error) {
      // Once we have let go, what has its name may be the next emperor's.
      if (!this.#jail && !this.#isReleased) await this.#clean();
      this.#startFailed(error);
    }
  }

  #startLimit(): Semaphore {
    const config = (this.#wanted ?? this.#applied)?.config;
    if (!config) return this.#host.startLimit;
    const hasHooks = config.execAsRoot.length > 0 || this.#host.hooks.hasBefore(config);
    const isSlow = hasHooks || this.#host.homes.isSlow(config);
    return isSlow ? this.#host.hookedStartLimit : this.#host.startLimit;
  }

  /** Its jail is ours to make; how soon the command begins is its tenant's doing, who may hold a lease on its file. */
  async #start(giveBack: () => void): Promise<void> {
    if (this.#isReleased || !this.#isIn('starting')) return;
    this.#isLaunching = true;
    let cancel = () => {};
    try {
      await this.#makeReady();
      // It may have been ended meanwhile.
      if (!this.#isIn('starting')) return;
      cancel = this.#host.clock.after(SLOW_COMMAND_MS, giveBack);
      await this.#startCommand();
      this.#noteStart();
    } finally {
      cancel();
      this.#isLaunching = false;
    }
  }

  #isIn(...states: readonly VassalState[]): boolean {
    return states.includes(this.#state);
  }

  /** Makes the jail, or brings the one that is there up to date. */
  async #makeReady(): Promise<void> {
    const wanted = this.#wanted ?? this.#applied;
    if (!wanted) throw new EmperorError('start-failed', 'it has no valid configuration yet');
    if (!this.#jail) await this.#makeJail(wanted);
    else await this.#apply();
  }

  #startFailed(error: unknown): void {
    // It was ended, or it died: that has been dealt with.
    if (!this.#isIn('starting', 'reloading')) return;
    this.lastError = messageOf(error);
    this.#host.log.warn({ vassal: this.name, error: this.lastError }, 'start failed');
    const isRefused = this.#jail === null && !isPassing(error);
    if (!isRefused) this.#retry.failures += 1;
    this.raise(isRefused ? 'start-refused' : 'start-failed');
  }

  async #makeJail(wanted: Wanted): Promise<void> {
    const { config } = wanted;
    this.#limits.noteHome(await this.#host.homes.prepare(config), config.homeSize);
    if (this.#isReleased || !this.#isIn('starting')) {
      throw new EmperorError('start-failed', 'it was ended meanwhile');
    }
    await this.#announce(config);
    this.#isAnnounced = true;
    const applied = this.#next(wanted);
    const jail = await Jail.launch(this.#host, this.name, {
      plan: (cgroups, runDirectory) => this.#host.planJail(applied, cgroups, runDirectory),
      limits: this.#limits.first(applied.config),
      onUnmet: (unmet) => this.#limits.note(unmet),
      connect: this.#host.connectorOf(applied.config),
    });
    this.#command.reset();
    this.#take(jail);
    this.#limits.watch(applied.config, jail.startedAtMs);
    this.#note(applied);
  }

  async #announce(config: VassalConfig): Promise<void> {
    if (!this.#host.hooks.hasBefore(config)) return;
    this.#hooking = new AbortController();
    try {
      await this.#host.hooks.before(config, this.#hooking.signal);
    } finally {
      this.#hooking = null;
    }
    if (!this.#isIn('starting')) throw new EmperorError('start-failed', 'it was ended meanwhile');
  }

  /** Nothing of it runs any more. */
  async #announceEnd(): Promise<void> {
    const config = (this.#applied ?? this.#wanted)?.config;
    if (!config || !this.#isAnnounced || this.#isReleased) return;
    this.#isAnnounced = false;
    try {
      await this.#host.hooks.after(config);
    } catch (error) {
      this.#hookFailed(messageOf(error));
    }
  }

  #hookFailed(message: string): void {
    this.#host.log.warn({ vassal: this.name, error: message }, 'a hook failed');
    this.#host.onHookFailure(this, message);
  }

  #take(jail: Jail): void {
    this.#jail = jail;
    jail.onEvent = (event) => {
      if (event.kind === 'exit') this.#processEnded(event.exit);
      else if (event.kind === 'notice') this.#noticed(event.notice);
      else this.#host.onCrontab(this);
    };
    jail.onDeath = () => this.#jailDied(jail);
    if (jail.isDead) this.#jailDied(jail);
  }

  async #startCommand(): Promise<void> {
    const config = this.#applied?.config;
    if (!this.#jail || !config) throw new EmperorError('start-failed', 'the jail ended meanwhile');
    const line = this.#host.commandLine(config);
    this.#awaitReady();
    this.#isPostAppDue = true;
    if (line) await this.#command.start(this.#jail.init, line);
  }

  async #restartCommand(): Promise<void> {
    if (!this.#isIn('reloading')) return;
    this.#isReplacing = true;
    try {
      await this.#replaceCommand();
    } catch (error) {
      this.#startFailed(error);
    } finally {
      this.#isReplacing = false;
    }
  }

  async #replaceCommand(): Promise<void> {
    await this.#paced(async () => {
      if (!this.#jail || !this.#isIn('reloading')) return;
      await this.#command.stop(this.#jail.init, this.#stopOptions());
      await this.#daemons.reload(this.#stopOptions().graceMs);
    });
    if (this.#isReleased || !this.#isIn('reloading')) return;
    if (!this.#jail) return this.raise('died');
    await this.#apply();
    await this.#startCommand();
    this.#noteStart();
  }

  /** Why it had to be ended stays to be seen. */
  #noteStart(): void {
    this.lastError = this.#endedBecause;
    this.#endedBecause = null;
    this.raise('started');
    this.#runPostApp();
  }

  // ── what it says of itself ───────────────────────────────────────────────────────────────────

  #awaitReady(): void {
    const jail = this.#jail;
    this.#readiness.begin(this.#host.readyOf(this.#configuration()), async (when) => {
      if (!jail || this.#jail !== jail) return false;
      if (when.how === 'path') return (await jail.init.look(when.path)) !== null;
      return when.how === 'port' && isListening(jail.pid, { port: when.port, uid: jail.uid });
    });
    if (this.#saidReady) this.#readiness.note();
    this.#saidReady = false;
  }

  /** Runs what the operator wants run inside, once for each start of the command; a failure is one of the command. */
  #runPostApp(): void {
    const jail = this.#jail;
    if (!jail || !this.isReady || !this.#isPostAppDue) return;
    this.#isPostAppDue = false;
    const config = this.#configuration();
    const lines = config.execPostApp ?? [];
    if (lines.length === 0) return;
    this.#innerHooks
      .run(lines, { init: jail.init, ...this.#host.hookPlace(config) })
      .catch(messageOf)
      .then((failure) => {
        if (failure === null || this.#jail !== jail) return;
        this.#hookFailed(failure);
        this.#failCommand(failure);
      });
  }

  /** No command that could be ready, or have hooks behind it. */
  #nothingRuns(): void {
    this.#readiness.reset();
    this.#innerHooks.lose();
  }

  #noticed({ slot, what }: SlotNotice): void {
    if (slot !== this.#command.slot) return;
    if (what === 'ready') {
      this.#readiness.note();
      return;
    }
    const watchdogMs = this.#applied?.config.watchdogMs ?? null;
    // Nobody speaks while frozen; who has just been thawed has all of its time.
    if (watchdogMs === null || this.#host.clock.monotonic() - this.#thawedAt < watchdogMs) return;
    this.#failCommand(
      `its command was silent for ${watchdogMs / 1000} s, more than \`watchdog\` lets it`,
    );
  }

  // ── ending ───────────────────────────────────────────────────────────────────────────────────

  #processEnded(exit: SlotExit): void {
    if (FOREIGN_KINDS.has(exit.kind)) {
      this.#host.onForeign(this, { ended: exit });
      return;
    }
    this.#ack(exit.slot);
    if (this.#innerHooks.hasEndedBy(exit) || this.#daemons.hasEndedBy(exit)) return;
    if (this.#command.hasEndedBy(exit)) this.#noteExit(exit);
  }

  #noteExit(exit: SlotExit): void {
    const ended = exitOf(exit.status);
    this.#limits.alarms.look();
    const isOom = ended.reason === 'killed' && this.#limits.alarms.hasJustKilled;
    this.lastExit = { ...ended, ...(isOom ? { reason: 'oom' } : {}), atMs: exit.endedAtMs };
    this.#nothingRuns();
    if (this.#isEnding()) return;
    if (this.#command.ageMs >= HEALTHY_AFTER_MS) this.#retry.failures = 0;
    const policy = this.#applied?.config.restart ?? 'always';
    const isFailure = this.lastExit.code !== 0 || this.#endedBecause !== null;
    if (policy === 'always' || (policy === 'on-failure' && isFailure)) {
      this.#tryAgain();
    } else {
      this.#isFinished = true;
      this.raise('exited-final');
    }
  }

  #tryAgain(): void {
    this.#retry.failures += 1;
    this.restarts += 1;
    this.raise('exited-again');
  }

  /** Ends the command as if it had failed by itself: it is restarted, or not, by the same rules. */
  #failCommand(reason: string): void {
    if (!this.#jail || !this.#isIn('running') || this.#endedBecause !== null) return;
    this.#endedBecause = reason;
    this.lastError = reason;
    this.#host.log.warn({ vassal: this.name, reason }, 'its command is ended');
    if (this.#command.slot !== null) this.#command.end(this.#jail.init, this.#stopOptions());
    else this.#tryAgain();
  }

  /** What its processes do now says nothing about them: the jail is being ended, or about to be. */
  #isEnding(): boolean {
    return this.#isIn('stopping') || (this.#isIn('reloading') && !this.#isReplacing);
  }

  #ack(slot: bigint): void {
    this.#jail?.init.ack(slot).catch(() => {
      // The init has ended; its records went with it.
    });
  }

  #jailDied(jail: Jail): void {
    if (this.#jail !== jail) return;
    this.#limits.stop();
    this.#jail = null;
    this.#hasRemains = true;
    this.#command.lose();
    this.#daemons.lose();
    this.#nothingRuns();
    if (this.#isEnding()) return;
    this.#retry.failures += 1;
    this.restarts += 1;
    this.lastError = 'init ended unexpectedly';
    this.raise('died');
  }

  async #end(): Promise<void> {
    // Asked for twice, and done.
    if (!this.#isIn('stopping', 'reloading')) return;
    await this.#paced(() => this.#endJail());
    if (this.#isReleased) return;
    this.#limits.stop();
    this.#jail = null;
    this.#hasRemains = false;
    this.#command.lose();
    this.#daemons.lose();
    this.#nothingRuns();
    await this.#announceEnd();
    this.raise(this.#isWanted() ? 'ended-wanted' : 'ended');
  }

  /** Daemons first, the last one before the others, within one grace; then the rest has its own. */
  async #endJail(): Promise<void> {
    await this.#daemons.stop(this.#stopOptions().graceMs);
    await (this.#jail ? this.#jail.stop(this.#stopOptions()) : this.#clean());
  }

  /** Ends something when it is this vassal's turn; not at all once the emperor has let go. */
  async #paced(end: () => Promise<void>): Promise<void> {
    const { clock, endLimit } = this.#host;
    const isUrgent = this.awaitedBy > 0;
    await endLimit.pace(async () => (this.#isReleased ? undefined : end()), {
      clock,
      atMostMs: ENDING_MS,
      isUrgent,
    });
  }

  async #clean(): Promise<void> {
    await removeRemains(this.#host, this.name);
    this.#hasRemains = false;
    await this.#announceEnd();
  }

  #stopOptions(): { readonly signal: number; readonly graceMs: number } {
    const config = this.#applied?.config;
    return config ? { signal: config.stopSignal, graceMs: config.stopGraceMs } : DEFAULT_STOP;
  }

  // ── daemons ──────────────────────────────────────────────────────────────────────────────────

  #makeDaemons(): Daemons {
    const { clock, backoff, random, daemonLine, onDaemonFailure, log } = this.#host;
    return new Daemons({
      ...{ clock, backoff, random },
      init: () => this.#jail?.init ?? null,
      lineOf: (daemon) => daemonLine(this.#configuration(), daemon),
      mayStart: () => this.#isIn('running', 'backoff', 'starting', 'reloading'),
      graceMs: () => this.#stopOptions().graceMs,
      onFailure: ({ label, daemon }, reason) => {
        onDaemonFailure(this, { label, reason });
        if (daemon.isControl) this.#failCommand(`its control daemon ${label} failed: ${reason}`);
      },
      onTrouble: (error) => log.error({ vassal: this.name, error }, 'daemons went wrong'),
    });
  }

  #configuration(): VassalConfig {
    if (this.#applied) return this.#applied.config;
    throw new EmperorError('start-failed', 'its configuration is not known');
  }

  #wantDaemons(): void {
    if (this.#applied && this.#isIn('running')) this.#daemons.want(this.#applied.config);
  }

  // ── applying ─────────────────────────────────────────────────────────────────────────────────

  /** A command that has to be replaced as well is so by the next action. */
  async #applyLive(): Promise<void> {
    if (this.#cost() !== 'process') await this.#apply();
    this.#wantDaemons();
  }

  /**
   * Takes over the wanted configuration unless that needs a new jail, which settle() sees to. Init is told first: a record that is
   * older than what init says is recognised by its hash, a newer one would look like a change.
   */
  async #apply(): Promise<void> {
    if (!this.#wanted || !this.#jail || !this.#differs() || this.#cost() === 'jail') return;
    const applied = this.#next(this.#wanted);
    await this.#jail.init.meta(applied);
    await this.#applyOutside(applied.config);
    this.#note(applied);
  }

  async #applyOutside(config: VassalConfig): Promise<void> {
    if (this.#jail) this.#limits.apply(config, this.#jail.startedAtMs);
    await this.#followHome(config);
    await this.#host.applyLive(config);
  }

  async #followHome(config: VassalConfig): Promise<void> {
    const jail = this.#jail;
    if (!jail) return;
    const unmet = await this.#host.homes.follow(config, jail.pid);
    if (this.#jail === jail) this.#limits.noteHome(unmet, config.homeSize);
  }

  /** An adopted init without a record may run just what is wanted. */
  #recognise(wanted: Wanted): void {
    if (this.#unknown?.hash !== wanted.hash) return;
    const { generation } = this.#unknown;
    this.#unknown = null;
    void this.#applyOutside(wanted.config);
    this.#note({ ...wanted, generation });
    this.#awaitReady();
  }

  /** The same configuration keeps its generation; a different one counts up. */
  #next(wanted: Wanted): Applied {
    const before = this.#applied ?? this.#unknown;
    const step = before?.hash === wanted.hash ? 0 : 1;
    return { ...wanted, generation: (before?.generation ?? 0) + step };
  }

  #note(applied: Applied): void {
    this.#applied = applied;
    this.#unknown = null;
    this.#host.onChange(this, 'applied');
  }
}

function isPassing(error: unknown): boolean {
  const { code, cause } = error as { code?: string; cause?: unknown };
  if (code === 'not-reachable' || code === 'timeout' || code === 'exec-failed') return true;
  const name = cause instanceof Refusal ? errnoName(cause.errno) : code;
  return PASSING_ERRNOS.has(name ?? '');
}
