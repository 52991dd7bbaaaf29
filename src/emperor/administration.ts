/**
 * What operators and panels ask of the emperor (governor.ts), answered from the realm. Thin: a question is
 * a look at values, an order is one call on a vassal and a wait for its rest.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { EmperorError } from '../base/errors.ts';
import { directoryOf, joinFile } from '../cgroup/membership.ts';
import { isVassalName } from '../config/names.ts';
import type { JailPlan } from '../jail/plan.ts';
import { readKsm } from '../linux/ksm.ts';
import { VASSAL_STATES, type VassalState } from '../vassal/state.ts';
import type { Vassal } from '../vassal/vassal.ts';
import type { Emperor } from './emperor.ts';
import type {
  CronJobStatus,
  DistroStatus,
  EmperorEvent,
  EmperorStats,
  ExecTarget,
  FirewallAnswer,
  Governor,
  NetworkStatus,
  PlannedChange,
  ResolvedValue,
  VassalAction,
  VassalNetworkStatus,
  VassalStatus,
  WaitRequest,
  WaitResult,
} from './governor.ts';
import { hostPidsOf } from './host-pids.ts';
import { listDirectories } from './listing.ts';
import { configOf, NetworkQuestions } from './network-questions.ts';
import { addressText, routerStatsOf, trafficIn } from './network-report.ts';
import { removeAside, setAside } from './purge.ts';
import type { Realm } from './realm.ts';
import type { StatsSource } from './stats.ts';
import { processStatusOf, statusOf } from './status.ts';
import { judgeWait, type WaitView } from './waiting.ts';

export interface AdministrationHost {
  readonly program: string;
  readonly stats: StatsSource;
  /** Reads the file of a vassal, or all directories, again. */
  readonly look: (name: string) => Promise<void>;
  readonly rescan: () => Promise<void>;
  readonly quit: (options: { readonly stopVassals: boolean }) => Promise<void>;
}

const NOTHING_USED = { memoryBytes: null, cpuSeconds: null, pids: null };
const LISTED_AT_ONCE = 50;

export class Administration implements Governor {
  readonly #realm: Realm;
  readonly #emperor: Emperor;
  readonly #host: AdministrationHost;
  readonly #network: NetworkQuestions;

  constructor(realm: Realm, emperor: Emperor, host: AdministrationHost) {
    this.#realm = realm;
    this.#emperor = emperor;
    this.#host = host;
    this.#network = new NetworkQuestions(realm);
  }

  // ── questions ────────────────────────────────────────────────────────────────────────────────

  async list(): Promise<readonly VassalStatus[]> {
    const status = (await this.#realm.network?.looks.look())?.status ?? null;
    const found: VassalStatus[] = [];
    for (const name of [...this.#realm.names()].sort()) {
      const home = await this.#homeOf(name);
      if (this.#realm.knows(name)) {
        found.push(this.#status(name, { processes: [], home, traffic: trafficIn(status, name) }));
      }
      // What a vassal uses is read from files: of thousands that takes a while.
      if (found.length % LISTED_AT_ONCE === 0) await setImmediate();
    }
    return found;
  }

  async status(name: string): Promise<VassalStatus> {
    const vassal = this.#known(name);
    const [slots, home, traffic] = await Promise.all([
      vassal.jail?.init.list().catch(() => []),
      this.#homeOf(name),
      configOf(vassal)?.device ? this.#realm.network?.looks.trafficOf(name) : null,
    ]);
    const pids = hostPidsOf(this.#realm.vassalHost.membership.payloadPids(name));
    return this.#status(name, {
      processes: (slots ?? []).map((slot) => processStatusOf(slot, pids)),
      home,
      traffic: traffic ?? null,
    });
  }

  async #homeOf(name: string): Promise<VassalStatus['home']> {
    const { jail = null, applied = null } = this.#realm.vassals.get(name) ?? {};
    return jail && applied ? this.#realm.homes.usage(applied.config, jail.pid) : null;
  }

  #status(
    name: string,
    asked: {
      readonly processes: VassalStatus['processes'];
      readonly home: VassalStatus['home'];
      readonly traffic: VassalStatus['network'];
    },
  ): VassalStatus {
    const vassal = this.#realm.vassalOf(name);
    const entry = this.#realm.entries.get(name);
    const config = configOf(vassal);
    const network = config?.device ? this.#realm.network : null;
    const held = network?.addressesOf(name);
    const uid = config?.uid ?? this.#realm.identities.find(name);
    return statusOf({
      name,
      vassal,
      identity: uid === undefined ? null : { uid, gid: config?.gid ?? uid },
      file: entry?.file ?? null,
      sha256: entry?.onDisk?.sha256 ?? null,
      diagnostics: entry?.diagnostics ?? [],
      processes: asked.processes,
      home: asked.home,
      address: addressText(held?.address ?? null),
      address6: addressText(held?.address6 ?? null),
      network: network ? asked.traffic : null,
      usage: vassal.jail ? this.#realm.vassalHost.controllers.usage(name) : NOTHING_USED,
      crontab: this.#realm.cron.crontabOf(name),
    });
  }

  #known(name: string): Vassal {
    if (!this.#realm.knows(name)) {
      throw new EmperorError('no-such-vassal', `There is no vassal ${name}`);
    }
    return this.#realm.vassalOf(name);
  }

  async plan(): Promise<readonly PlannedChange[]> {
    return this.#emperor.plan();
  }

  jailPlan(name: string): JailPlan {
    const vassal = this.#known(name);
    const wanted = vassal.wanted ?? vassal.applied;
    if (!wanted) throw new EmperorError('conflict', `Vassal ${name} has no valid configuration`);
    const generation = vassal.applied?.generation ?? 1;
    const { kind } = this.#realm.vassalHost.membership;
    const leaf = (of: string) => joinFile(kind, `CGROUP/${directoryOf(name)}/${of}`);
    return this.#realm.surroundings.planJail(
      { ...wanted, generation },
      { initJoin: leaf('init'), payloadJoin: leaf('payload'), joins: [], views: [] },
      join(this.#realm.vassalHost.runDirectory, name),
    );
  }

  text(name: string): { readonly file: string | null; readonly text: string } {
    this.#known(name);
    const entry = this.#realm.entries.get(name);
    const source = entry?.onDisk ?? entry?.source;
    return { file: source?.file ?? null, text: source?.text ?? '' };
  }

  resolved(name: string): readonly ResolvedValue[] {
    this.#known(name);
    return this.#emperor.resolvedValues(name);
  }

  execTarget(name: string): ExecTarget {
    const vassal = this.#known(name);
    if (!vassal.jail || !vassal.applied) {
      throw new EmperorError('conflict', `Cannot run anything in ${name}: it is ${vassal.state}`);
    }
    return {
      program: this.#host.program,
      socket: join(this.#realm.vassalHost.runDirectory, name, 'init.sock'),
      home: this.#realm.surroundings.homeInside(vassal.applied.config),
      ...this.#realm.surroundings.of(vassal.applied.config),
    };
  }

  events(since?: string): readonly EmperorEvent[] {
    return this.#realm.events.since(since);
  }

  subscribe(listener: (event: EmperorEvent) => void): () => void {
    return this.#realm.events.subscribe(listener);
  }

  async distros(): Promise<readonly DistroStatus[]> {
    const { distrosDirectory } = this.#realm.config;
    return listDirectories(distrosDirectory).map((name) => {
      const path = join(distrosDirectory, name);
      const { osRelease, problems } = this.#realm.distros.look(path);
      return {
        name,
        path,
        prettyName: osRelease?.prettyName ?? null,
        usedBy: this.#usersOf(name),
        problems: problems.map(({ message }) => message),
      };
    });
  }

  #usersOf(distro: string): readonly string[] {
    return [...this.#realm.vassals.values()]
      .filter((vassal) =>
        [vassal.applied, vassal.wanted].some((one) => one?.config.distro === distro),
      )
      .map((vassal) => vassal.name);
  }

  async stats(): Promise<EmperorStats> {
    const { network } = this.#realm;
    const router = network && routerStatsOf(network.device, await network.looks.about());
    const counts = Object.fromEntries(VASSAL_STATES.map((state) => [state, 0])) as Record<
      VassalState,
      number
    >;
    for (const vassal of this.#realm.vassals.values()) counts[vassal.state] += 1;
    const { config, diagnostics } = this.#realm.settings;
    return {
      ...this.#host.stats.read(),
      router,
      ini: config.file,
      runDir: config.runDirectory,
      stateDir: config.stateDirectory,
      logDir: config.logDirectory,
      vassals: counts,
      counters: this.#realm.events.counts(),
      diagnostics,
      conditions: [...this.#realm.conditions.values()],
      ksm: readKsm(),
    };
  }

  cronJobs(name?: string): readonly CronJobStatus[] {
    const names = name === undefined ? [...this.#realm.names()].sort() : [this.#known(name).name];
    return names.flatMap((one) => this.#realm.cron.statusOf(this.#realm.vassalOf(one)));
  }

  network(): Promise<NetworkStatus | null> {
    return this.#network.status();
  }

  async vassalNetwork(name: string): Promise<VassalNetworkStatus> {
    return this.#network.statusOf(this.#known(name));
  }

  checkFirewall(questions: readonly string[]): Promise<readonly FirewallAnswer[]> {
    return this.#network.checkFirewall(questions);
  }

  // ── orders ───────────────────────────────────────────────────────────────────────────────────

  async act(name: string, action: VassalAction): Promise<void> {
    const vassal = this.#known(name);
    if (action === 'freeze') return this.#setFrozen(vassal, 'running');
    if (action === 'thaw') return this.#setFrozen(vassal, 'frozen');
    await awaiting(vassal, async () => {
      if (action === 'reload') await this.#reload(vassal);
      else if (action === 'stop')
        vassal.stop(this.#realm.entries.get(name)?.onDisk?.sha256 ?? null);
      else vassal[action]();
      this.#realm.record(vassal);
      await this.#untilResting(vassal, action);
    });
  }

  async #reload(vassal: Vassal): Promise<void> {
    const before = vassal.wanted?.hash;
    await this.#host.look(vassal.name);
    await this.#emperor.upToDate;
    this.#refuseInvalid(vassal.name, 'reload');
    if (vassal.wanted?.hash !== before) return;
    if (vassal.state === 'running' || vassal.state === 'backoff') return vassal.reload();
    throw new EmperorError('conflict', `Cannot reload ${vassal.name}: it is ${vassal.state}`);
  }

  /** What runs is the last good text: whoever asks for the file's own must hear why he does not get it. */
  #refuseInvalid(name: string, verb: string): void {
    const entry = this.#realm.entries.get(name);
    if (entry?.desired.kind !== 'invalid') return;
    const { diagnostics, file } = entry;
    throw new EmperorError('bad-config', `Cannot ${verb} ${name}: ${file} has errors`, {
      diagnostics,
    });
  }

  async #setFrozen(vassal: Vassal, from: VassalState): Promise<void> {
    const verb = from === 'running' ? 'freeze' : 'thaw';
    if (vassal.state !== from) {
      throw new EmperorError('conflict', `Cannot ${verb} ${vassal.name}: it is ${vassal.state}`);
    }
    vassal.raise(verb);
    await vassal.idle();
  }

  async #untilResting(vassal: Vassal, verb: string): Promise<void> {
    const isResting = () => !['starting', 'stopping', 'reloading'].includes(vassal.state);
    await this.#realm.waiters.until(() => (isResting() ? true : undefined));
    if (verb === 'stop' || vassal.state === 'running' || vassal.isFinished) return;
    if (vassal.wanted === null) {
      const why = 'it has no valid configuration';
      throw new EmperorError('conflict', `Cannot ${verb} ${vassal.name}: ${why}`);
    }
    if (vassal.state === 'backoff' || vassal.state === 'failed') {
      const why = vassal.lastError ?? 'its command ended at once';
      throw new EmperorError('start-failed', `Cannot ${verb} ${vassal.name}: ${why}`);
    }
  }

  async purge(name: string): Promise<void> {
    if (this.#realm.knows(name)) {
      const why = 'it still has a file or runs; remove its file first';
      throw new EmperorError('conflict', `Cannot purge ${name}: ${why}`);
    }
    const { homesDirectory, logDirectory } = this.#realm.config;
    const places = [
      join(homesDirectory, name),
      ...this.#realm.homes.filesOf(name),
      join(logDirectory, name),
    ];
    const isKnown =
      isVassalName(name) &&
      (this.#realm.identities.find(name) !== undefined ||
        places.some((path) => existsSync(path)) ||
        this.#hasAddress(name));
    if (!isKnown) {
      throw new EmperorError('no-such-vassal', `There is no trace of a vassal ${name}`);
    }
    const aside = setAside(places);
    this.#realm.identities.release(name);
    this.#realm.records.remove(name);
    this.#realm.cpuJournal.write(name, null);
    this.#realm.network?.forget(name);
    this.#realm.events.add('purged', { vassal: name });
    await removeAside(aside);
  }

  #hasAddress(name: string): boolean {
    const { address = null, address6 = null } = this.#realm.network?.addressesOf(name) ?? {};
    return address !== null || address6 !== null;
  }

  wait(name: string, request: WaitRequest, signal?: AbortSignal): Promise<WaitResult> {
    return awaiting(this.#realm.vassals.get(name), () => this.#wait(name, request, signal));
  }

  async #wait(name: string, request: WaitRequest, signal?: AbortSignal): Promise<WaitResult> {
    const { waiters, vassals, vassalHost } = this.#realm;
    await this.#host.look(name);
    await this.#emperor.upToDate;
    let expired: WaitResult | undefined;
    const expire = () => {
      expired = { outcome: 'timeout', state: vassals.get(name)?.state ?? null };
      waiters.wake();
    };
    const cancel = vassalHost.clock.after(request.timeoutMs, expire);
    signal?.addEventListener('abort', expire, { once: true });
    if (signal?.aborted) expire();
    try {
      return await waiters.until(() => judgeWait(this.#viewOf(name), request) ?? expired);
    } finally {
      cancel();
    }
  }

  #viewOf(name: string): WaitView | null {
    if (!this.#realm.knows(name)) return null;
    const vassal = this.#realm.vassalOf(name);
    const entry = this.#realm.entries.get(name);
    return {
      state: vassal.state,
      isReady: vassal.isReady,
      isApplied: vassal.isApplied && hasBegun(vassal),
      isHeld: vassal.isHeld,
      sha256: entry?.onDisk?.sha256 ?? null,
      appliedSha256: vassal.applied?.sha256 ?? null,
      diagnostics: entry?.diagnostics ?? [],
      lastError: vassal.lastError,
    };
  }

  async rescan(): Promise<void> {
    await this.#emperor.reloadSettings();
    await this.#host.rescan();
    await this.#emperor.upToDate;
  }

  forgive(): void {
    for (const vassal of this.#realm.vassals.values()) vassal.touch();
  }

  async shutdown(options: { readonly stopVassals: boolean }): Promise<void> {
    await this.#host.quit(options);
  }
}

/** Has whatever ends of `vassal` meanwhile go before what nobody waits for. */
async function awaiting<T>(vassal: Vassal | undefined, work: () => Promise<T>): Promise<T> {
  if (!vassal) return work();
  vassal.awaitedBy += 1;
  try {
    return await work();
  } finally {
    vassal.awaitedBy -= 1;
  }
}

/** Its command was started, whatever became of it since. */
function hasBegun({ state, lastExit, lastError, isFinished }: Vassal): boolean {
  if (state === 'backoff') return lastExit !== null && lastError === null;
  return state === 'running' || state === 'frozen' || isFinished;
}
