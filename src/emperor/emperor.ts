/**
 * The emperor: brings the vassals in line with their files.
 *
 * Theory of operation. Sightings of files (watch.ts) become entries (roster.ts); reconcile() tells each
 * vassal what it should be; the vassal does the rest on its own. Everything between a sighting and that
 * word is synchronous and pure but for reading includes, so there is no half-applied state to think of.
 * Long batches are worked off in slices, so that the event loop stays free.
 */
import { setImmediate } from 'node:timers/promises';
import { readEnvironment } from '../base/environment.ts';
import { EmperorError } from '../base/errors.ts';
import { inParallel } from '../base/semaphore.ts';
import { isAtRest } from '../vassal/state.ts';
import type { Vassal } from '../vassal/vassal.ts';
import { ADOPTED_AT_ONCE, type Found, findJails } from './adopt.ts';
import type { PlannedChange, ResolvedValue } from './governor.ts';
import { keepUntilRestart } from './keep-until-restart.ts';
import { type Actual, planChanges, planVassal } from './plan.ts';
import type { Realm } from './realm.ts';
import {
  type Entry,
  entryOf,
  type FileText,
  fileTextOf,
  type ResolveContext,
  resolveText,
} from './roster.ts';
import type { IncludeResult, Settings } from './settings.ts';
import type { Sighting } from './sighting.ts';
import type { AdoptedVassal } from './vassal-network.ts';

/** Sightings are worked off for at most this long before others get a turn. */
const SLICE_MS = 5;

export interface EmperorHost {
  readonly reload: () => Settings;
  readonly readInclude: (path: string) => IncludeResult;
  /** The vassal directories may have changed. */
  readonly setDirectories: (paths: readonly string[]) => Promise<void>;
}

export class Emperor {
  readonly #realm: Realm;
  readonly #host: EmperorHost;
  #sightings: Promise<void> = Promise.resolve();

  constructor(realm: Realm, host: EmperorHost) {
    this.#realm = realm;
    this.#host = host;
  }

  /** Resolves when everything that was seen so far has been told to the vassals. */
  get upToDate(): Promise<void> {
    return this.#sightings;
  }

  /** Takes over what an earlier emperor left running; returns the names. */
  async adopt(): Promise<readonly string[]> {
    const found = await findJails(this.#realm.vassalHost);
    await inParallel(found, ADOPTED_AT_ONCE, (one) => this.#adoptOne(one));
    await this.#realm.network?.adopt(this.#running(found));
    this.#realm.doors.adopt(this.#running(found).flatMap(({ config }) => config ?? []));
    return found.map(({ name }) => name);
  }

  /** What is known of the vassals that run. */
  #running(found: readonly Found[]): readonly AdoptedVassal[] {
    return found.flatMap(({ name, welcome }) => {
      const { jail = null, applied = null } = this.#realm.vassals.get(name) ?? {};
      return jail === null ? [] : [{ name, welcome, config: applied?.config ?? null }];
    });
  }

  async #adoptOne({ name, jail, welcome }: Found): Promise<void> {
    const { records, identities, events, unseen } = this.#realm;
    unseen.add(name);
    const record = records.read(name)?.applied;
    identities.give(name, welcome.uid);
    const vassal = this.#realm.vassalOf(name);
    await vassal.adopt(jail, welcome, record?.hash === welcome.hash ? record : null);
    events.add('adopted', { vassal: name, pid: jail.pid });
    await this.#realm.cron.adopted(vassal);
  }

  /** Takes note of what was seen of vassal files; batches are worked off one after another. */
  see(batch: readonly Sighting[]): void {
    this.#sightings = this.#sightings.then(() => this.#inSlices(batch, (one) => this.#seeOne(one)));
  }

  /** Re-reads emperor.ini and resolves all files again; a broken one changes nothing. */
  async reloadSettings(): Promise<void> {
    const realm = this.#realm;
    try {
      const { settings, postponed } = keepUntilRestart(realm.settings, this.#host.reload());
      realm.settings = settings;
      realm.note({ kind: 'emperor-ini', message: '', isActive: false });
      const message = `emperor.ini: a change of ${postponed.join(', ')} takes effect when the emperor is restarted`;
      realm.note({ kind: 'emperor-ini-restart', message, isActive: postponed.length > 0 });
      realm.events.add('emperor-ini-applied');
    } catch (error) {
      if (!(error instanceof EmperorError)) throw error;
      realm.settings = { ...realm.settings, diagnostics: error.diagnostics };
      const message = `${error.message}; the last good configuration stays in force`;
      realm.note({ kind: 'emperor-ini', message, isActive: true });
      return;
    }
    this.#sightings = this.#sightings.then(() =>
      this.#inSlices([...realm.entries.values()], (entry) => this.#resolveAgain(entry)),
    );
    await realm.network?.applySettings();
    await this.#host.setDirectories(realm.config.vassalDirectories);
    await this.#sightings;
  }

  /** Files against what runs. */
  plan(): readonly PlannedChange[] {
    const { entries, vassals } = this.#realm;
    return planChanges(
      new Map([...entries].map(([name, entry]) => [name, entry.desired])),
      new Map([...vassals].map(([name, vassal]) => [name, actualOf(vassal)])),
    );
  }

  /** Each key of a vassal's file with its value and where that comes from. */
  resolvedValues(name: string): readonly ResolvedValue[] {
    const source = this.#realm.entries.get(name)?.source;
    return source ? resolveText(name, source, this.#resolveContext()).values : [];
  }

  #resolveContext(): ResolveContext {
    const { config, identities } = this.#realm;
    return {
      emperor: config,
      readInclude: this.#host.readInclude,
      env: readEnvironment,
      uidOf: (name) => identities.find(name),
      ownerOf: (uid) => identities.ownerOf(uid),
    };
  }

  /** Ends every vassal and waits until nothing is left of them; their files and records stay. */
  async stopAll(): Promise<void> {
    // What was seen and not yet told would come to life behind us.
    await this.upToDate;
    const all = [...this.#realm.vassals.values()];
    for (const vassal of all) vassal.retire();
    await this.#realm.waiters.until(() =>
      all.every(({ state }) => isAtRest(state)) ? true : undefined,
    );
    this.#realm.vassalHost.controllers.dissolve();
    this.#realm.vassalHost.membership.dissolve();
  }

  /** Lets go of everything that runs. */
  release(): void {
    for (const vassal of this.#realm.vassals.values()) vassal.release();
    this.#realm.identities.save();
    this.#realm.records.close();
    this.#realm.cron.close();
    this.#realm.cpuJournal.close();
  }

  async #inSlices<T>(items: readonly T[], work: (item: T) => void): Promise<void> {
    let sliceEnd = performance.now() + SLICE_MS;
    for (const item of items) {
      if (performance.now() > sliceEnd) {
        await setImmediate();
        sliceEnd = performance.now() + SLICE_MS;
      }
      work(item);
    }
  }

  #seeOne(sighting: Sighting): void {
    const { name } = sighting;
    this.#realm.unseen.delete(name);
    if (sighting.kind === 'gone') this.#seeGone(name);
    else this.#seeThere(sighting);
    this.#realm.waiters.wake();
  }

  #seeGone(name: string): void {
    const { entries, events, vassals } = this.#realm;
    entries.delete(name);
    events.add('file-gone', { vassal: name });
    vassals.get(name)?.want(null);
    this.#realm.forgetIfGone(name);
  }

  #seeThere(sighting: Exclude<Sighting, { kind: 'gone' }>): void {
    const { entries, events } = this.#realm;
    const { name } = sighting;
    const before = entries.get(name);
    this.#resolve(sighting);
    if (sighting.kind !== 'present' || !sighting.touched) return;
    if (before?.onDisk?.sha256 !== sighting.sha256) return;
    events.add('file-touched', { vassal: name, message: 'content unchanged' });
    this.#realm.vassals.get(name)?.touch();
  }

  /** What it was last told to run, which may not be written down yet; else what an earlier emperor wrote. */
  #lastGood(name: string): FileText | null {
    const { entries, records } = this.#realm;
    const record = records.read(name);
    return entries.get(name)?.source ?? (record ? fileTextOf(record) : null);
  }

  #resolveAgain(entry: Entry): void {
    const { name, onDisk } = entry;
    if (!onDisk || this.#realm.entries.get(name) !== entry) return;
    this.#resolve({ kind: 'present', name, touched: false, ...onDisk });
    this.#realm.waiters.wake();
  }

  /** What a file says now, by the settings of now, is what its vassal is told. */
  #resolve(sighting: Exclude<Sighting, { kind: 'gone' }>): void {
    const { name } = sighting;
    const entry = entryOf(sighting, this.#lastGood(name), this.#resolveContext());
    this.#realm.entries.set(name, entry);
    this.#noteUid(entry);
    this.#reconcile(entry);
  }

  /** Before the next file is judged: no two vassals have one uid. A refused file leaves it as it was. */
  #noteUid({ name, desired }: Entry): void {
    const wanted = desired.kind === 'valid' ? desired.wanted : desired.fallback;
    if (wanted) this.#realm.identities.give(name, wanted.config.uid);
  }

  /** Does for one vassal what plan.ts says about it. */
  #reconcile(entry: Entry): void {
    const { desired } = entry;
    const vassal = this.#realm.vassalOf(entry.name);
    if (desired.kind === 'valid') {
      vassal.want(desired.wanted);
      return;
    }
    this.#report(entry);
    const change = planVassal(entry.name, desired, actualOf(vassal));
    if (change.action === 'refuse') vassal.refuse(change.reason);
    else if (vassal.wanted === null && desired.fallback) vassal.want(desired.fallback);
  }

  #report(entry: Entry): void {
    const message =
      entry.diagnostics.find(({ severity }) => severity === 'error')?.message ?? 'it is invalid';
    const { log } = this.#realm.vassalHost;
    log.warn({ vassal: entry.name, file: entry.file }, `refused: ${message}`);
    this.#realm.events.add('file-refused', { vassal: entry.name, message });
  }
}

function actualOf(vassal: Vassal): Actual {
  const { state, applied, isHeld, heldSha256, isFinished, wanted } = vassal;
  return {
    state,
    applied,
    isHeld,
    heldSha256,
    isFinished,
    isWanted: wanted !== null,
    hasJail: vassal.jail !== null,
  };
}
