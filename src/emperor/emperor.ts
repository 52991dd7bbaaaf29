/**
 * The emperor: holds the roster of files and the vassals, and brings the second in line with the first.
 *
 * Theory of operation. Sightings of files (watch.ts) become entries (roster.ts); reconcile() tells each
 * vassal what it should be; the vassal does the rest on its own. Everything between a sighting and that
 * word is synchronous and pure but for reading includes, so there is no half-applied state to think of.
 * Long batches are worked off in slices, so that the event loop stays free.
 */
import { existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { readEnvironment } from '../base/environment.ts';
import { EmperorError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { EmperorConfig } from '../config/emperor-config.ts';
import type { VassalConfig } from '../config/vassal-config.ts';
import { type JailPlan, planJail as planJailSteps, shellOf } from '../jail/plan.ts';
import { VASSAL_STATES, type VassalState } from '../vassal/state.ts';
import { type Applied, type CommandLine, Vassal, type VassalHost } from '../vassal/vassal.ts';
import { findJails } from './adopt.ts';
import { DistroFacts } from './distro-facts.ts';
import { EventLog } from './events.ts';
import type {
  DistroStatus,
  EmperorEvent,
  EmperorStats,
  ExecTarget,
  Governor,
  PlannedChange,
  ResolvedValue,
  VassalAction,
  VassalStatus,
  WaitRequest,
  WaitResult,
} from './governor.ts';
import { hostPidsOf } from './host-pids.ts';
import { Identities } from './identities.ts';
import { listDirectories } from './listing.ts';
import { type Actual, planChanges, planVassal } from './plan.ts';
import { Records } from './records.ts';
import { type Entry, entryOf, type ResolveContext } from './roster.ts';
import { hostNameServers, type IncludeResult, type Settings } from './settings.ts';
import type { Sighting } from './sighting.ts';
import { readStateFile, writeStateFile } from './state-file.ts';
import type { StatsSource } from './stats.ts';
import { processStatusOf, statusOf } from './status.ts';
import { judgeWait, type WaitView } from './waiting.ts';

/** Sightings are worked off for at most this long before others get a turn. */
const SLICE_MS = 5;
/** Interrupted or missing files of more vassals than this at the start are held (design D6). */
const MASS_REMOVAL = { minFiles: 10, fraction: 0.2, holdMs: 30_000 };
const INNER_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** What run.ts opened for the emperor. */
export interface EmperorHost
  extends Omit<VassalHost, 'planJail' | 'commandLine' | 'onChange' | 'runDirectory'> {
  readonly log: Log;
  readonly program: string;
  readonly seccompFilter: Uint8Array;
  readonly reload: () => Settings;
  readonly readInclude: (path: string) => IncludeResult;
  readonly rescan: () => Promise<void>;
  readonly look: (name: string) => Promise<void>;
  readonly stats: StatsSource;
  readonly quit: (options: { readonly stopVassals: boolean }) => Promise<void>;
}

export class Emperor implements Governor {
  readonly #host: EmperorHost;
  readonly #vassalHost: VassalHost;
  #settings: Settings;
  readonly #records: Records;
  readonly #identities: Identities;
  readonly #events: EventLog;
  readonly #distros = new DistroFacts();
  readonly #entries = new Map<string, Entry>();
  readonly #vassals = new Map<string, Vassal>();
  readonly #waiters = new Set<() => void>();
  readonly #conditions = new Map<string, string>();
  #sightings: Promise<void> = Promise.resolve();
  #isSavingIdentities = false;

  constructor(settings: Settings, host: EmperorHost) {
    this.#settings = settings;
    this.#host = host;
    const { config } = settings;
    this.#events = new EventLog(host.clock);
    this.#records = new Records(config.stateDirectory);
    this.#identities = this.#restoreIdentities();
    this.#vassalHost = {
      ...host,
      runDirectory: join(config.runDirectory, 'vassals'),
      planJail: (applied, leaves, runDirectory) => this.#planJail(applied, leaves, runDirectory),
      commandLine: (vassal) => this.#commandLine(vassal),
      onChange: (vassal, event) => this.#vassalChanged(vassal, event),
    };
    mkdirSync(this.#vassalHost.runDirectory, { recursive: true, mode: 0o700 });
  }

  get config(): EmperorConfig {
    return this.#settings.config;
  }

  // ── start ────────────────────────────────────────────────────────────────────────────────────

  /** Takes over what an earlier emperor left running. */
  async adopt(): Promise<number> {
    const found = await findJails(this.#vassalHost);
    for (const { name, jail, welcome } of found) {
      const record = this.#records.read(name);
      const applied = record?.applied.hash === welcome.hash ? record.applied : null;
      this.#identities.claim(name, welcome.uid);
      const vassal = this.#vassalOf(name);
      await vassal.adopt(jail, applied, welcome.state === 'stopping' ? 'stopping' : 'running');
      this.#events.add('adopted', { vassal: name, pid: jail.pid });
    }
    return found.length;
  }

  /**
   * Ends vassals that were adopted and have no file. The first scan has read the directories to their end;
   * where very many are missing, that is held for a while all the same.
   */
  async judgeOrphans(): Promise<void> {
    await this.#sightings;
    const orphans = [...this.#vassals.keys()].filter((name) => !this.#entries.has(name));
    const { minFiles, fraction, holdMs } = MASS_REMOVAL;
    const isMass = orphans.length > minFiles && orphans.length > fraction * this.#vassals.size;
    if (!isMass) return this.#endOrphans(orphans);
    const message = `${orphans.length} of ${this.#vassals.size} running vassals have no file; held for ${holdMs / 1000} s`;
    this.note({ kind: 'mass-removal', message, isActive: true });
    this.#host.clock.after(holdMs, () => {
      this.note({ kind: 'mass-removal', message, isActive: false });
      this.#endOrphans(orphans);
    });
  }

  #endOrphans(names: readonly string[]): void {
    for (const name of names) if (!this.#entries.has(name)) this.#vassals.get(name)?.want(null);
  }

  #restoreIdentities(): Identities {
    const { config } = this.#settings;
    const identities = new Identities(config.uidRange);
    identities.restore(readStateFile(this.#identitiesFile()));
    for (const name of listDirectories(config.homesDirectory)) {
      identities.claim(name, statSync(join(config.homesDirectory, name)).uid);
    }
    return identities;
  }

  // ── files ────────────────────────────────────────────────────────────────────────────────────

  /** Takes note of what was seen of vassal files; batches are worked off one after another. */
  see(batch: readonly Sighting[]): void {
    this.#sightings = this.#sightings.then(() => this.#inSlices(batch, (one) => this.#seeOne(one)));
  }

  /** Re-reads emperor.ini and resolves all files again; a broken one changes nothing. */
  async reloadSettings(): Promise<void> {
    try {
      this.#settings = this.#host.reload();
      this.#conditions.delete('emperor-ini');
      this.#events.add('emperor-ini-applied');
    } catch (error) {
      if (!(error instanceof EmperorError)) throw error;
      this.#settings = { ...this.#settings, diagnostics: error.diagnostics };
      const message = `${error.message}; the last good configuration stays in force`;
      this.note({ kind: 'emperor-ini', message, isActive: true });
      return;
    }
    const entries = [...this.#entries.values()];
    await this.#inSlices(entries, (entry) => this.#resolveAgain(entry));
  }

  /** A condition of the whole machine that an operator should know. */
  note(condition: {
    readonly kind: string;
    readonly message: string;
    readonly isActive: boolean;
  }): void {
    const { kind, message, isActive } = condition;
    if (isActive) {
      this.#conditions.set(kind, message);
      this.#host.log.warn({ condition: kind }, message);
    } else {
      this.#conditions.delete(kind);
    }
    this.#events.add(kind, { message, active: isActive });
  }

  async #inSlices<T>(items: readonly T[], work: (item: T) => void): Promise<void> {
    let sliceEnd = this.#host.clock.monotonic() + SLICE_MS;
    for (const item of items) {
      if (this.#host.clock.monotonic() > sliceEnd) {
        await setImmediate();
        sliceEnd = this.#host.clock.monotonic() + SLICE_MS;
      }
      work(item);
    }
  }

  #seeOne(sighting: Sighting): void {
    const { name } = sighting;
    if (sighting.kind === 'gone') {
      this.#entries.delete(name);
      this.#events.add('file-gone', { vassal: name });
      this.#vassals.get(name)?.want(null);
      this.#forgetIfGone(name);
      this.#wakeWaiters();
      return;
    }
    const before = this.#entries.get(name);
    if (
      sighting.kind === 'present' &&
      sighting.touched &&
      before?.onDisk?.sha256 === sighting.sha256
    ) {
      this.#events.add('file-touched', { vassal: name, message: 'content unchanged' });
    }
    const entry = entryOf(sighting, this.#records.read(name), this.#resolveContext());
    this.#entries.set(name, entry);
    this.#reconcile(entry);
    this.#wakeWaiters();
  }

  #resolveAgain(entry: Entry): void {
    if (!entry.onDisk) return;
    const sighting: Sighting = {
      kind: 'present',
      name: entry.name,
      touched: false,
      ...entry.onDisk,
    };
    const again = entryOf(sighting, this.#records.read(entry.name), this.#resolveContext());
    this.#entries.set(entry.name, again);
    const vassal = this.#vassals.get(entry.name);
    const isSame =
      again.desired.kind === 'valid' && again.desired.wanted.hash === vassal?.wanted?.hash;
    if (!isSame) this.#reconcile(again);
    this.#wakeWaiters();
  }

  /** Does for one vassal what plan.ts says about it. */
  #reconcile(entry: Entry): void {
    const vassal = this.#vassalOf(entry.name);
    const change = planVassal(entry.name, entry.desired, this.#actualOf(vassal));
    const { desired } = entry;
    this.#report(entry);
    if (desired.kind === 'valid') {
      if (change.action !== 'hold') vassal.want(desired.wanted);
    } else if (change.action === 'start' && desired.fallback) {
      vassal.want(desired.fallback);
    } else if (change.action === 'refuse') {
      vassal.refuse(change.reason);
    }
  }

  #report(entry: Entry): void {
    if (entry.desired.kind === 'valid') return;
    const message = entry.desired.diagnostics[0]?.message ?? 'invalid';
    this.#host.log.warn({ vassal: entry.name, file: entry.file }, `refused: ${message}`);
    this.#events.add('file-refused', { vassal: entry.name, message });
  }

  #resolveContext(): ResolveContext {
    return {
      emperor: this.#settings.config,
      readInclude: this.#host.readInclude,
      env: readEnvironment,
      uidOf: (name) => this.#identities.find(name),
      ownerOf: (uid) => this.#identities.ownerOf(uid),
    };
  }

  // ── vassals ──────────────────────────────────────────────────────────────────────────────────

  #vassalOf(name: string): Vassal {
    const known = this.#vassals.get(name);
    if (known) return known;
    const vassal = new Vassal(name, this.#vassalHost, {
      isHeld: this.#records.read(name)?.isHeld ?? false,
      applied: this.#records.read(name)?.applied ?? null,
    });
    this.#vassals.set(name, vassal);
    return vassal;
  }

  #vassalChanged(vassal: Vassal, event: string): void {
    if (event === 'applied' || event === 'end') this.#record(vassal);
    this.#events.add(event === 'applied' ? 'applied' : 'state', {
      vassal: vassal.name,
      state: vassal.state,
      cause: event,
      generation: vassal.applied?.generation ?? 0,
    });
    this.#forgetIfGone(vassal.name);
    this.#wakeWaiters();
  }

  #record(vassal: Vassal): void {
    const { applied, isHeld } = vassal;
    const source = this.#entries.get(vassal.name)?.source;
    if (!applied || !source || source.sha256 !== applied.sha256) return;
    const { file, text, owner } = source;
    this.#records.write(vassal.name, { file, text, owner, applied, isHeld });
  }

  /** A vassal without file and without processes is no more. */
  #forgetIfGone(name: string): void {
    const vassal = this.#vassals.get(name);
    if (this.#entries.has(name)) return;
    if (vassal && (vassal.wanted !== null || !['stopped', 'failed'].includes(vassal.state))) return;
    if (!vassal && !this.#records.has(name)) return;
    this.#vassals.delete(name);
    this.#records.remove(name);
    this.#events.add('gone', { vassal: name });
  }

  #identityOf(name: string, config: VassalConfig): { uid: number; gid: number } {
    if (config.uid !== null) return { uid: config.uid, gid: config.gid ?? config.uid };
    const known = this.#identities.find(name);
    const uid = known ?? this.#identities.allocate(name);
    if (known === undefined) this.#saveIdentitiesSoon();
    return { uid, gid: config.gid ?? uid };
  }

  /** One write for all identities given out in this turn; homes are the second witness. */
  #saveIdentitiesSoon(): void {
    if (this.#isSavingIdentities) return;
    this.#isSavingIdentities = true;
    this.#host.clock.after(50, () => {
      this.#isSavingIdentities = false;
      this.saveIdentities();
    });
  }

  saveIdentities(): void {
    writeStateFile(this.#identitiesFile(), this.#identities.toJson(), { durable: true });
  }

  #identitiesFile(): string {
    return join(this.#settings.config.stateDirectory, 'identities.json');
  }

  #planJail(
    applied: Applied,
    leaves: { initProcs: string; payloadProcs: string },
    runDirectory: string,
  ): JailPlan {
    const { config: emperor } = this.#settings;
    const { config } = applied;
    const distro = join(emperor.distrosDirectory, config.distro);
    const facts = this.#distros.of(config.distro, distro);
    return planJailSteps({
      name: config.name,
      generation: applied.generation,
      hash: applied.hash,
      namespaces: emperor.namespaces,
      ...this.#identityOf(config.name, config),
      hostname: config.hostname,
      distro,
      etcFiles: facts.etcFiles,
      hasBash: facts.hasBash,
      home: this.#homeOf(config),
      opt: emperor.optDirectory,
      binds: config.binds,
      runDirectory,
      logDirectory: join(emperor.logDirectory, config.name),
      logMaxBytes: config.logMaxBytes,
      logFiles: config.logFiles,
      cgroup: leaves,
      tmpSizeBytes: config.tmpSizeBytes,
      runSizeBytes: config.runSizeBytes,
      dns: config.dns ?? (emperor.dns.length > 0 ? emperor.dns : hostNameServers()),
      hooks: config.execAsRoot,
      hookTimeoutMs: emperor.hookTimeoutMs,
      seccompFilter: this.#host.seccompFilter,
    });
  }

  #homeOf(config: VassalConfig): string {
    return config.home ?? join(this.#settings.config.homesDirectory, config.name);
  }

  #commandLine(config: VassalConfig): CommandLine | null {
    if (!config.command) return null;
    const { cwd, env } = this.#surroundings(config);
    return { argv: config.command, cwd, env };
  }

  /** Working directory and environment of everything that is started in a vassal. */
  #surroundings(config: VassalConfig): { cwd: string; env: readonly string[]; shell: string } {
    const emperor = this.#settings.config;
    const isJailed = emperor.namespaces.includes('fs');
    const home = isJailed ? `/home/${config.name}` : this.#homeOf(config);
    const distro = join(emperor.distrosDirectory, config.distro);
    const shell = isJailed ? shellOf(this.#distros.of(config.distro, distro)) : '/bin/sh';
    const env = new Map([
      ['PATH', INNER_PATH],
      ['HOME', home],
      ['USER', config.name],
      ['LOGNAME', config.name],
      ['SHELL', shell],
      ['LANG', 'C.UTF-8'],
      ...config.env,
    ]);
    const cwd = config.chdir === null ? home : join('/', absolute(config.chdir, home));
    return { cwd, env: [...env].map(([key, value]) => `${key}=${value}`), shell };
  }

  #actualOf(vassal: Vassal): Actual {
    const { state, applied, isHeld } = vassal;
    return { state, applied, isHeld, hasJail: vassal.jail !== null };
  }

  // ── Governor ─────────────────────────────────────────────────────────────────────────────────

  list(): readonly VassalStatus[] {
    return [...this.#names()].sort().map((name) => this.#status(name, []));
  }

  async status(name: string): Promise<VassalStatus> {
    const vassal = this.#known(name);
    const slots = (await vassal?.jail?.init.list().catch(() => [])) ?? [];
    const pids = hostPidsOf(this.#host.membership.payloadPids(name));
    return this.#status(
      name,
      slots.map((slot) => processStatusOf(slot, pids)),
    );
  }

  #names(): ReadonlySet<string> {
    return new Set([...this.#entries.keys(), ...this.#vassals.keys()]);
  }

  #status(name: string, processes: VassalStatus['processes']): VassalStatus {
    const vassal = this.#vassalOf(name);
    const entry = this.#entries.get(name);
    const config = vassal.applied?.config ?? vassal.wanted?.config;
    const uid = config?.uid ?? this.#identities.find(name);
    return statusOf({
      name,
      vassal,
      identity: uid === undefined ? null : { uid, gid: config?.gid ?? uid },
      file: entry?.file ?? null,
      sha256: entry?.onDisk?.sha256 ?? null,
      diagnostics: entry?.diagnostics ?? [],
      processes,
    });
  }

  #known(name: string): Vassal {
    if (!this.#names().has(name)) {
      throw new EmperorError('no-such-vassal', `There is no vassal ${name}`);
    }
    return this.#vassalOf(name);
  }

  async act(name: string, action: VassalAction): Promise<void> {
    const vassal = this.#known(name);
    switch (action) {
      case 'start':
        vassal.start();
        return this.#untilResting(vassal, 'start');
      case 'stop':
        vassal.stop();
        return this.#untilResting(vassal, 'stop');
      case 'restart':
        vassal.restart();
        return this.#untilResting(vassal, 'restart');
      case 'reload':
        return this.#reload(vassal);
      case 'freeze':
        return this.#freeze(vassal, 'running');
      case 'thaw':
        return this.#freeze(vassal, 'frozen');
    }
  }

  async #reload(vassal: Vassal): Promise<void> {
    const before = vassal.applied?.hash;
    await this.#host.look(vassal.name);
    await this.#sightings;
    const hasChanged = vassal.wanted?.hash !== before;
    if (!hasChanged) await vassal.reload();
    return this.#untilResting(vassal, 'reload');
  }

  async #freeze(vassal: Vassal, from: VassalState): Promise<void> {
    const verb = from === 'running' ? 'freeze' : 'thaw';
    if (vassal.state !== from) {
      throw new EmperorError('conflict', `Cannot ${verb} ${vassal.name}: it is ${vassal.state}`);
    }
    vassal.raise(verb);
    await vassal.idle();
  }

  async #untilResting(vassal: Vassal, verb: string): Promise<void> {
    const isResting = () => !['starting', 'stopping', 'reloading'].includes(vassal.state);
    await this.#until(() => (isResting() ? true : undefined));
    if (verb === 'stop' || vassal.state === 'running') return;
    if (vassal.wanted === null) {
      throw new EmperorError(
        'conflict',
        `Cannot ${verb} ${vassal.name}: it has no valid configuration`,
      );
    }
    if (vassal.state === 'backoff' || vassal.state === 'failed') {
      const why = vassal.lastError ?? 'its command ended at once';
      throw new EmperorError('start-failed', `Cannot ${verb} ${vassal.name}: ${why}`);
    }
  }

  async purge(name: string): Promise<void> {
    if (this.#entries.has(name) || this.#vassals.has(name)) {
      throw new EmperorError(
        'conflict',
        `Cannot purge ${name}: it still has a file or runs; remove its file first`,
      );
    }
    const { homesDirectory, logDirectory } = this.#settings.config;
    const uid = this.#identities.find(name);
    const places = [join(homesDirectory, name), join(logDirectory, name)];
    if (!isPlainName(name) || (uid === undefined && !places.some((path) => existsSync(path)))) {
      throw new EmperorError('no-such-vassal', `There is no trace of a vassal ${name}`);
    }
    for (const path of places) rmSync(path, { recursive: true, force: true });
    this.#identities.release(name);
    this.#records.remove(name);
    this.saveIdentities();
    this.#events.add('purged', { vassal: name });
  }

  async wait(name: string, request: WaitRequest): Promise<WaitResult> {
    await this.#host.look(name);
    await this.#sightings;
    let expired: WaitResult | undefined;
    const cancel = this.#host.clock.after(request.timeoutMs, () => {
      expired = { outcome: 'timeout', state: this.#vassals.get(name)?.state ?? null };
      this.#wakeWaiters();
    });
    try {
      return await this.#until(() => judgeWait(this.#viewOf(name), request) ?? expired);
    } finally {
      cancel();
    }
  }

  #viewOf(name: string): WaitView | null {
    if (!this.#names().has(name)) return null;
    const vassal = this.#vassalOf(name);
    const entry = this.#entries.get(name);
    return {
      state: vassal.state,
      isReady: vassal.state === 'running',
      isApplied: vassal.isApplied && vassal.state === 'running',
      isHeld: vassal.isHeld,
      sha256: entry?.onDisk?.sha256 ?? null,
      appliedSha256: vassal.applied?.sha256 ?? null,
      diagnostics: entry?.diagnostics ?? [],
      lastError: vassal.lastError,
    };
  }

  /** Resolves with the first defined answer of `probe`, which is asked after every change. */
  #until<T>(probe: () => T | undefined): Promise<T> {
    return new Promise((resolve) => {
      const ask = () => {
        const answer = probe();
        if (answer === undefined) return;
        this.#waiters.delete(ask);
        resolve(answer);
      };
      this.#waiters.add(ask);
      ask();
    });
  }

  #wakeWaiters(): void {
    for (const ask of [...this.#waiters]) ask();
  }

  async plan(): Promise<readonly PlannedChange[]> {
    const desired = new Map([...this.#entries].map(([name, entry]) => [name, entry.desired]));
    const actual = new Map(
      [...this.#vassals].map(([name, vassal]) => [name, this.#actualOf(vassal)]),
    );
    return planChanges(desired, actual);
  }

  jailPlan(name: string): JailPlan {
    const vassal = this.#known(name);
    const wanted = vassal.wanted ?? vassal.applied;
    if (!wanted) throw new EmperorError('conflict', `Vassal ${name} has no valid configuration`);
    const generation = vassal.applied?.generation ?? 1;
    const leaf = (kind: string) => `CGROUP/${name}/${kind}/cgroup.procs`;
    return this.#planJail(
      { ...wanted, generation },
      { initProcs: leaf('init'), payloadProcs: leaf('payload') },
      join(this.#vassalHost.runDirectory, name),
    );
  }

  text(name: string): { readonly file: string | null; readonly text: string } {
    this.#known(name);
    const entry = this.#entries.get(name);
    const source = entry?.onDisk ?? entry?.source;
    return { file: source?.file ?? null, text: source?.text ?? '' };
  }

  resolved(name: string): readonly ResolvedValue[] {
    this.#known(name);
    return this.#entries.get(name)?.values ?? [];
  }

  execTarget(name: string): ExecTarget {
    const vassal = this.#known(name);
    if (!vassal.jail || !vassal.applied) {
      throw new EmperorError('conflict', `Cannot run anything in ${name}: it is ${vassal.state}`);
    }
    return {
      program: this.#host.program,
      socket: join(this.#vassalHost.runDirectory, name, 'init.sock'),
      ...this.#surroundings(vassal.applied.config),
    };
  }

  events(since?: string): readonly EmperorEvent[] {
    return this.#events.since(since);
  }

  subscribe(listener: (event: EmperorEvent) => void): () => void {
    return this.#events.subscribe(listener);
  }

  async distros(): Promise<readonly DistroStatus[]> {
    const { distrosDirectory } = this.#settings.config;
    return listDirectories(distrosDirectory).map((name) => ({
      ...this.#distros.describe(name, join(distrosDirectory, name)),
      usedBy: [...this.#vassals.values()]
        .filter((vassal) => (vassal.applied ?? vassal.wanted)?.config.distro === name)
        .map((vassal) => vassal.name),
    }));
  }

  stats(): EmperorStats {
    const counts = Object.fromEntries(VASSAL_STATES.map((state) => [state, 0])) as Record<
      VassalState,
      number
    >;
    for (const vassal of this.#vassals.values()) counts[vassal.state] += 1;
    const { config, diagnostics } = this.#settings;
    return {
      ...this.#host.stats.read(),
      ini: config.file,
      runDir: config.runDirectory,
      stateDir: config.stateDirectory,
      logDir: config.logDirectory,
      vassals: counts,
      diagnostics,
      conditions: [...this.#conditions.values()],
    };
  }

  async rescan(): Promise<void> {
    await this.reloadSettings();
    await this.#host.rescan();
    await this.#sightings;
  }

  /** Ends every vassal and waits until nothing is left of them; their files and records stay. */
  async stopAll(): Promise<void> {
    const all = [...this.#vassals.values()];
    for (const vassal of all) vassal.raise('end');
    await this.#until(() =>
      all.every(({ state }) => ['stopped', 'failed'].includes(state)) ? true : undefined,
    );
  }

  /** Lets go of everything that runs. */
  release(): void {
    for (const vassal of this.#vassals.values()) vassal.release();
  }

  async shutdown(options: { readonly stopVassals: boolean }): Promise<void> {
    await this.#host.quit(options);
  }
}

function isPlainName(name: string): boolean {
  return /^[a-z0-9][a-z0-9._-]{0,62}$/.test(name);
}

function absolute(path: string, base: string): string {
  return path.startsWith('/') ? path : join(base, path);
}
