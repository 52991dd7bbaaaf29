/**
 * What one emperor rules over, as data: its settings, the files it has seen, the vassals, and what was
 * written down about them. emperor.ts changes it, administration.ts answers questions from it.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../base/errors.ts';
import { Semaphore } from '../base/semaphore.ts';
import type { EmperorConfig } from '../config/emperor-config.ts';
import type { VassalConfig } from '../config/vassal-config.ts';
import { bootId } from '../linux/proc.ts';
import type { Alarm } from '../vassal/alarms.ts';
import { isAtRest } from '../vassal/state.ts';
import { Vassal, type VassalHost } from '../vassal/vassal.ts';
import { CpuJournal } from './cpu-journal.ts';
import { DistroCache } from './distro-cache.ts';
import { Doors } from './doors.ts';
import { EventLog } from './events.ts';
import { Homes } from './homes.ts';
import { IdentityStore } from './identity-store.ts';
import { Records } from './records.ts';
import { type Entry, fileTextOf } from './roster.ts';
import type { Settings } from './settings.ts';
import { SurroundingsMaker } from './surroundings.ts';
import { VassalCron } from './vassal-cron.ts';
import { VassalHooks } from './vassal-hooks.ts';
import type { VassalNetwork } from './vassal-network.ts';
import { Waiters } from './waiters.ts';

/** What run.ts opened for the vassals. */
export type RealmHost = Omit<
  VassalHost,
  | 'planJail'
  | 'commandLine'
  | 'readyOf'
  | 'hooks'
  | 'homes'
  | 'hookPlace'
  | 'onHookFailure'
  | 'daemonLine'
  | 'onDaemonFailure'
  | 'connectorOf'
  | 'applyLive'
  | 'onUnmet'
  | 'onAlarm'
  | 'onDailyCpu'
  | 'cpuReadings'
  | 'onGone'
  | 'onChange'
  | 'onForeign'
  | 'onCrontab'
  | 'runDirectory'
  | 'backoff'
  | 'hookedStartLimit'
  | 'endLimit'
> & {
  readonly seccompFilter: Uint8Array;
  /** The C program. */
  readonly program: () => string;
};

/** Vassals with hooks that are being started at the same time: hooks mostly wait. */
const HOOKED_STARTS = 64;
/** Vassals and commands whose ends begin at the same time; Linux 6.18 does not survive about a thousand. */
export const ENDINGS = 64;

export class Realm {
  readonly vassalHost: VassalHost;
  readonly records: Records;
  readonly identities: IdentityStore;
  readonly events: EventLog;
  readonly surroundings: SurroundingsMaker;
  readonly distros = new DistroCache();
  readonly homes: Homes;
  readonly waiters = new Waiters();
  readonly doors: Doors;
  readonly cron: VassalCron;
  readonly cpuJournal: CpuJournal;
  /** By name; a vassal has an entry as long as it has a file. */
  readonly entries = new Map<string, Entry>();
  readonly vassals = new Map<string, Vassal>();
  /** What an operator should know of the whole machine, by kind. */
  readonly conditions = new Map<string, string>();
  /** Names that an earlier emperor left, until their files have been looked at: they are not forgotten. */
  readonly unseen = new Set<string>();
  settings: Settings;
  /** Null without `tuntap-router`. */
  network: VassalNetwork | null = null;

  constructor(settings: Settings, host: RealmHost) {
    this.settings = settings;
    const { config } = settings;
    this.events = new EventLog(host.clock);
    this.records = new Records(config.stateDirectory);
    this.identities = new IdentityStore({
      ...config,
      clock: host.clock,
      writeDown: (write) => this.writeDown(write),
    });
    this.surroundings = new SurroundingsMaker({
      emperor: () => this.config,
      identities: this.identities,
      distros: this.distros,
      seccompFilter: host.seccompFilter,
      networkOf: (vassal) => this.network?.jailNetworkOf(vassal) ?? null,
      imageOf: (name) => this.homes.find(name),
    });
    this.homes = new Homes({
      clock: host.clock,
      directory: config.homesDirectory,
      isJailed: () => this.surroundings.isJailed(),
      homeOf: (vassal) => this.surroundings.homeOf(vassal),
      insideOf: (vassal) => this.surroundings.homeInside(vassal),
      program: host.program,
    });
    this.cpuJournal = new CpuJournal(config.stateDirectory, (write) => this.writeDown(write));
    this.vassalHost = {
      ...host,
      runDirectory: join(config.runDirectory, 'vassals'),
      backoff: () => ({
        firstMs: this.config.throttleMs,
        maxMs: this.config.maxThrottleMs,
      }),
      hookedStartLimit: new Semaphore(HOOKED_STARTS),
      homes: this.homes,
      endLimit: new Semaphore(ENDINGS),
      planJail: (...wanted) => this.surroundings.planJail(...wanted),
      commandLine: (vassal) => this.surroundings.commandLine(vassal),
      hooks: new VassalHooks({
        emperor: () => this.config,
        clock: host.clock,
        log: host.log,
        environmentOf: (vassal) => this.surroundings.hookEnvironment(vassal),
      }),
      hookPlace: (vassal) => this.surroundings.hookPlace(vassal),
      onHookFailure: ({ name }, message) =>
        this.events.add('hook-failed', { vassal: name, message }),
      readyOf: (vassal) => this.surroundings.readyOf(vassal),
      daemonLine: (vassal, daemon) => this.surroundings.daemonLine(vassal, daemon),
      onDaemonFailure: ({ name }, { label, reason }) =>
        this.events.add('daemon-failed', { vassal: name, label, message: reason }),
      connectorOf: (vassal) => this.network?.connectorOf(vassal) ?? null,
      applyLive: async (vassal) => this.network?.applyRules(vassal),
      onAlarm: ({ name }, alarm) => this.events.add(alarm.kind, alarmFields(name, alarm)),
      cpuReadings: this.cpuJournal,
      onDailyCpu: (vassal, isSpent) =>
        this.events.add('daily-cpu', { vassal: vassal.name, ...dailyCpuFields(isSpent) }),
      onUnmet: ({ name }, { message, isMet }) =>
        this.events.add(isMet ? 'limit-met' : 'limit-unmet', { vassal: name, message }),
      onGone: (name) => {
        this.network?.detach(name);
        this.doors.forget(name);
      },
      onChange: (vassal, event) => this.#vassalChanged(vassal, event),
      onForeign: (vassal, processes) => this.cron.foreign(vassal, processes),
      onCrontab: (vassal) => this.cron.crontabChanged(vassal),
    };
    this.doors = new Doors({
      ...host,
      runDirectory: config.runDirectory,
      initSocketOf: (name) => join(this.vassalHost.runDirectory, name, 'init.sock'),
      surroundingsOf: (vassal) => this.surroundings.of(vassal),
      onTrouble: (name, message) =>
        this.note({
          kind: `ssh ${name}`,
          message: message === null ? '' : `${name}: ${message}`,
          isActive: message !== null,
        }),
    });
    this.cron = new VassalCron({
      ...host,
      stateDirectory: config.stateDirectory,
      vassal: (name) => this.vassals.get(name),
      isForgotten: (name) => !this.knows(name) && !this.unseen.has(name),
      surroundingsOf: (vassal) => this.surroundings.of(vassal),
      homeOf: (vassal) => this.surroundings.homeInside(vassal),
      note: (event, fields) => this.events.add(event, fields),
      writeDown: (write) => this.writeDown(write),
    });
    for (const name of this.records.names()) this.unseen.add(name);
    mkdirSync(this.vassalHost.runDirectory, { recursive: true, mode: 0o700 });
  }

  get config(): EmperorConfig {
    return this.settings.config;
  }

  /** Names that have a file or something that runs. */
  names(): ReadonlySet<string> {
    return new Set([...this.entries.keys(), ...this.vassals.keys()]);
  }

  knows(name: string): boolean {
    return this.entries.has(name) || this.vassals.has(name);
  }

  /** What the file of a vassal says now, or its last good text; undefined for one without a file. */
  wantedConfig(name: string): VassalConfig | undefined {
    const desired = this.entries.get(name)?.desired;
    return (desired?.kind === 'valid' ? desired.wanted : desired?.fallback)?.config;
  }

  /** The vassal of that name, a new one if there is none yet. */
  vassalOf(name: string): Vassal {
    const known = this.vassals.get(name);
    if (known) return known;
    const record = this.records.read(name);
    const vassal = new Vassal(name, this.vassalHost, {
      applied: record?.applied ?? null,
      isHeld: record?.isHeld ?? false,
      heldSha256: record?.heldSha256 ?? null,
      isFinished: record?.finishedInBoot === bootId(),
    });
    this.vassals.set(name, vassal);
    return vassal;
  }

  /** Writes down what is applied to a vassal, with the text that it came from. */
  record(vassal: Vassal): void {
    const { applied, isHeld, heldSha256, isFinished } = vassal;
    if (!applied) return;
    const seen = this.entries.get(vassal.name)?.source;
    const recorded = this.records.read(vassal.name);
    // The file may have changed since.
    const texts = [seen, recorded && fileTextOf(recorded)];
    const from = texts.find((one) => one?.sha256 === applied.sha256);
    if (!from) return;
    const { file, text, owner } = from;
    const finishedInBoot = isFinished ? bootId() : null;
    this.writeDown(() =>
      this.records.write(vassal.name, {
        file,
        text,
        owner,
        applied,
        isHeld,
        heldSha256,
        finishedInBoot,
      }),
    );
  }

  /** Notes or clears a condition of the whole machine that an operator should know. */
  note(condition: {
    readonly kind: string;
    readonly message: string;
    readonly isActive: boolean;
  }): void {
    const { kind, message, isActive } = condition;
    if ((this.conditions.get(kind) ?? null) === (isActive ? message : null)) return;
    if (isActive) this.conditions.set(kind, message);
    else this.conditions.delete(kind);
    if (isActive) this.vassalHost.log.warn({ condition: kind }, message);
    this.events.add(kind, { message, active: isActive });
  }

  /** A full disk must not keep vassals from running, nor the emperor from leaving; what is lost is said. */
  writeDown(write: () => void): void {
    try {
      write();
      this.note({ kind: 'state-dir', message: '', isActive: false });
    } catch (error) {
      const { stateDirectory } = this.config;
      const message =
        `Cannot write to ${stateDirectory}: ${messageOf(error)}; vassals run on, but a restart of ` +
        'the emperor may not know what was applied to them';
      this.note({ kind: 'state-dir', message, isActive: true });
    }
  }

  /** A vassal without file and without processes is no more. */
  forgetIfGone(name: string): void {
    const vassal = this.vassals.get(name);
    if (this.entries.has(name) || this.unseen.has(name)) return;
    if (vassal && (vassal.wanted !== null || !isAtRest(vassal.state))) return;
    if (!vassal && !this.records.read(name)) return;
    this.vassals.delete(name);
    this.identities.give(name, null);
    this.writeDown(() => this.records.remove(name));
    this.cron.gone(name);
    this.events.add('gone', { vassal: name });
  }

  #vassalChanged(vassal: Vassal, event: string): void {
    if (event === 'applied' || event === 'exited-final') this.record(vassal);
    if (event === 'applied' && vassal.applied) this.doors.apply(vassal.applied.config);
    this.events.add(event === 'applied' ? 'applied' : 'state', {
      vassal: vassal.name,
      state: vassal.state,
      cause: event,
      generation: vassal.applied?.generation ?? 0,
    });
    this.cron.changed(vassal, event);
    this.forgetIfGone(vassal.name);
    this.waiters.wake();
  }
}

function dailyCpuFields(isSpent: boolean) {
  const message = isSpent
    ? 'it has used its `daily-cpu`; until midnight it gets what others leave'
    : 'it has its `daily-cpu` again';
  return { message, active: isSpent };
}

function alarmFields(vassal: string, { kind, count, processes }: Alarm) {
  const what =
    kind === 'oom'
      ? 'the kernel killed in it, since it used more than `memory-max`'
      : 'it was refused another process, since it has as many as `pids-max`';
  return { vassal, count, message: `${what} (${count} times)`, processes };
}
