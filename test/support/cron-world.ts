/** Vassals whose init is a table of slots, a clock that a test moves, and a scheduler over them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../../src/base/clock.ts';
import { EmperorError } from '../../src/base/errors.ts';
import { silentLog } from '../../src/base/log.ts';
import { cronLine, cronWithOptions } from '../../src/config/kinds/cron.ts';
import { Cron } from '../../src/emperor/cron.ts';
import { type Job, jobsOf } from '../../src/emperor/cron-jobs.ts';
import { CronJournal } from '../../src/emperor/cron-journal.ts';
import type { CronInit } from '../../src/emperor/cron-runs.ts';
import { type SlotEntry, StartError } from '../../src/jail/init-client.ts';
import type { VassalState } from '../../src/vassal/state.ts';
import { ManualClock, settled } from './manual-clock.ts';
import { configOf } from './vassal-config.ts';

interface FakeSlot {
  readonly slot: bigint;
  readonly label: string;
  readonly command: string;
  readonly startedAtMs: number;
  endedAtMs: number | null;
  status: number;
}

/** An init's table of slots: a slot that is there starts nothing again, one that is acknowledged is forgotten. */
export class FakeInit implements CronInit {
  readonly slots = new Map<bigint, FakeSlot>();
  /** Every process that came to be, in order. */
  readonly started: string[] = [];
  readonly killed: bigint[] = [];
  /** What a start fails with; null: it does not. */
  errno: number | null = null;
  /** No start is answered, though it may have begun. */
  isSilent = false;
  /** Processes end at once. */
  isQuick = true;
  onExit: (slot: FakeSlot) => void = () => {};
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async start(request: Parameters<CronInit['start']>[0]): Promise<void> {
    if (this.errno !== null) throw new StartError('Cannot start it', this.errno, null);
    this.#begin(request);
    if (!this.isSilent) return;
    await new Promise<void>((resolve) => void this.#clock.after(10_000, resolve));
    throw new EmperorError('timeout', 'none came within 10000 ms');
  }

  #begin(request: Parameters<CronInit['start']>[0]): void {
    if (this.slots.has(request.slot)) return;
    const slot = {
      slot: request.slot,
      label: request.label,
      command: request.argv[2] ?? '',
      startedAtMs: this.#clock.now(),
      endedAtMs: null,
      status: 0,
    };
    this.slots.set(slot.slot, slot);
    this.started.push(slot.command);
    if (this.isQuick) setImmediate(() => this.end(slot.slot, 0));
  }

  async signal(slot: bigint, signo: number): Promise<void> {
    this.killed.push(slot);
    this.end(slot, signo);
  }

  async ack(slot: bigint): Promise<void> {
    if (this.slots.get(slot)?.endedAtMs !== null) this.slots.delete(slot);
  }

  end(slot: bigint, status: number): void {
    const entry = this.slots.get(slot);
    if (!entry || entry.endedAtMs !== null) return;
    entry.endedAtMs = this.#clock.now();
    entry.status = status;
    this.onExit(entry);
  }

  list(): readonly SlotEntry[] {
    return [...this.slots.values()].map((slot) => ({
      ...{ slot: slot.slot, kind: 'cron', label: slot.label, pid: 7, argv: [], isReady: false },
      state: slot.endedAtMs === null ? ('running' as const) : ('ended' as const),
      startedAtMs: slot.endedAtMs === null ? slot.startedAtMs : null,
      exit: slot.endedAtMs === null ? null : exitOf(slot),
    }));
  }
}

export function exitOf({ slot, label, status, endedAtMs }: FakeSlot) {
  const usage = { userTimeUs: 0, systemTimeUs: 0, maxRssKb: 0 };
  return { slot, kind: 'cron', label, pid: 7, status, endedAtMs: endedAtMs ?? 0, ...usage };
}

export interface FakeVassal {
  state: VassalState;
  init: FakeInit | null;
  jobs: readonly Job[];
}

const CONTEXT = { directory: '/', lookupUser: () => undefined, lookupGroup: () => undefined };

/** Jobs as a vassal's file says them: `cron = …`, `unique-cron = …`, `cron2 = …`. */
export function jobsIn(vassal: string, lines: readonly string[]): readonly Job[] {
  const of = (key: string) =>
    lines.flatMap((line) => {
      const [name = '', ...rest] = line.split(' = ');
      if (name !== key) return [];
      const kind = key === 'cron2' ? cronWithOptions : cronLine({ isUnique: key !== 'cron' });
      const parsed = kind.parse(rest.join(' = '), CONTEXT);
      if ('fault' in parsed) throw new Error(parsed.fault.message);
      return [parsed.value];
    });
  const changes = { cron: of('cron'), uniqueCron: of('unique-cron'), cron2: of('cron2') };
  return jobsOf(configOf(vassal, changes));
}

export class CronWorld {
  readonly directory = mkdtempSync(join(tmpdir(), 'cron-'));
  readonly clock: ManualClock;
  readonly vassals = new Map<string, FakeVassal>();
  readonly events: string[] = [];
  /** The last one that was opened. */
  journal: CronJournal;
  cron: Cron;
  #life = { isOver: false };

  constructor(start: string) {
    this.clock = new ManualClock(Date.parse(start));
    ({ journal: this.journal, cron: this.cron } = this.#open());
  }

  /** Nothing that a dead emperor had in hand has an effect any more. */
  #open(): Pick<CronWorld, 'journal' | 'cron'> {
    const life = { isOver: false };
    this.#life = life;
    const { clock } = this;
    const ifAlive = (action: () => void) => () => {
      if (!life.isOver) action();
    };
    const journal = new CronJournal(this.directory, (write) => ifAlive(write)());
    const cron = new Cron({
      clock: {
        now: () => clock.now(),
        monotonic: () => clock.monotonic(),
        after: (ms, action) => clock.after(ms, ifAlive(action)),
      },
      log: silentLog,
      journal,
      vassal: (name) => {
        const vassal = life.isOver ? undefined : this.vassals.get(name);
        return vassal && { ...vassal, surroundings: () => ({ env: ['A=1'], cwd: '/home' }) };
      },
      note: (event, { vassal, message = '' }) =>
        ifAlive(() => void this.events.push(`${event} ${vassal} ${message}`.trim()))(),
    });
    return { journal, cron };
  }

  /** A vassal that runs, with its jobs. */
  add(name: string, ...lines: readonly string[]): FakeInit {
    const init = new FakeInit(this.clock);
    const jobs = jobsIn(name, lines);
    this.vassals.set(name, { state: 'running', init, jobs });
    init.onExit = (slot) => {
      if (!this.#life.isOver) this.cron.ended(name, exitOf(slot));
    };
    this.cron.set(name, jobs);
    return init;
  }

  /** All that ran in a vassal is gone with the machine, and it runs again. */
  reboot(name: string): FakeInit {
    const vassal = this.vassals.get(name);
    const init = new FakeInit(this.clock);
    if (vassal) vassal.init = init;
    return init;
  }

  /** The emperor is gone without a word, for so long; then the next one takes over what runs. */
  async crash({ awayMs }: { readonly awayMs: number }): Promise<void> {
    this.#life.isOver = true;
    await this.clock.pass(awayMs);
    ({ journal: this.journal, cron: this.cron } = this.#open());
    for (const [name, { init, jobs }] of this.vassals) {
      if (init) this.cron.found(name, init, init.list());
      this.cron.set(name, jobs);
    }
    this.cron.start();
    await settled();
  }

  close(): void {
    this.cron.close();
    rmSync(this.directory, { recursive: true });
  }
}
