/**
 * A watch over directories of the test's own, with everything that it reported. Policies are those of
 * production; its clock runs with the machine's until a test lets time pass: so nobody waits for a hold of
 * 30 s, and what is reported before the first rescan came by an event.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { silentLog } from '../../src/base/log.ts';
import { MASS_REMOVAL } from '../../src/emperor/mass-removal.ts';
import type { Sighting } from '../../src/emperor/sighting.ts';
import { VassalWatch, type WatchCondition } from '../../src/emperor/watch.ts';
import { until } from './wait.ts';

export const HOLD_MS = MASS_REMOVAL.holdMs;
export const RESCAN_MS = 5000;

type Present = Extract<Sighting, { kind: 'present' }>;

export interface WatchingOptions {
  /** Names below the test's directory; `vassals` if none is given. */
  readonly directories?: readonly string[];
  /** Names that an earlier emperor left running. */
  readonly expected?: readonly string[];
}

/** The machine's clock, with leaps. The wall clock does not leap: files carry its times. */
class LeapingClock implements Clock {
  #leapMs = 0;
  readonly #timers = new Map<() => void, { readonly at: number; cancel: () => void }>();

  now(): number {
    return systemClock.now();
  }

  monotonic(): number {
    return systemClock.monotonic() + this.#leapMs;
  }

  after(ms: number, action: () => void): () => void {
    const fire = () => {
      this.#timers.delete(fire);
      action();
    };
    this.#timers.set(fire, { at: this.monotonic() + ms, cancel: systemClock.after(ms, fire) });
    return () => this.#cancel(fire);
  }

  leap(ms: number): void {
    this.#leapMs += ms;
    for (const [fire, { at }] of [...this.#timers]) {
      const leftMs = at - this.monotonic();
      this.#cancel(fire);
      if (leftMs <= 0) fire();
      else this.#timers.set(fire, { at, cancel: systemClock.after(leftMs, fire) });
    }
  }

  #cancel(fire: () => void): void {
    this.#timers.get(fire)?.cancel();
    this.#timers.delete(fire);
  }
}

export class Watching {
  readonly root = mkdtempSync(join(tmpdir(), 'emperor-watch-'));
  readonly sightings: Sighting[] = [];
  readonly conditions: WatchCondition[] = [];
  readonly #clock = new LeapingClock();
  #watch: VassalWatch | undefined;

  /** Starts to watch; what was watched before is no more. */
  async start(options: WatchingOptions = {}): Promise<VassalWatch> {
    const { directories = ['vassals'], expected = [] } = options;
    this.#watch?.close();
    this.#watch = new VassalWatch({
      directories: directories.map((name) => this.at(name)),
      clock: this.#clock,
      log: silentLog,
      settleMs: 10,
      rescanMs: RESCAN_MS,
      massRemoval: MASS_REMOVAL,
      onSightings: (batch) => this.sightings.push(...batch),
      onCondition: (condition) => this.conditions.push(condition),
    });
    await this.#watch.start(expected);
    return this.#watch;
  }

  /** Lets time pass in a moment; what is due now is done in the turns that follow. */
  pass(ms: number): void {
    this.#clock.leap(ms);
  }

  /** Lets time pass, and waits until all that was due has been done and everything was scanned. */
  async settleAfter(ms: number): Promise<void> {
    // In steps, as a real wait has scans in between.
    for (let left = ms; left > 0; left -= RESCAN_MS) {
      this.pass(Math.min(left, RESCAN_MS));
      await this.#watch?.rescan();
    }
  }

  at(path: string): string {
    return join(this.root, path);
  }

  directory(name = 'vassals'): string {
    const path = this.at(name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  /** Puts a file in place as a careful writer does: beside it, then renamed. */
  put(path: string, text: string): void {
    writeFileSync(this.at(`${path}.tmp`), text);
    renameSync(this.at(`${path}.tmp`), this.at(path));
  }

  /** Makes `v0.ini`, `v1.ini`, … with their own names as text. */
  fill(count: number, directory = 'vassals'): readonly string[] {
    this.directory(directory);
    const names = Array.from({ length: count }, (_, i) => `v${i}`);
    for (const name of names) writeFileSync(this.at(`${directory}/${name}.ini`), name);
    return names;
  }

  /** What was reported of a vassal, in words: its text, `touched`, the code of a refusal, or `gone`. */
  storyOf(name: string): readonly string[] {
    return this.sightings.filter((one) => one.name === name).map(wordOf);
  }

  lastPresent(name: string): Present | undefined {
    return this.sightings.findLast(
      (one): one is Present => one.kind === 'present' && one.name === name,
    );
  }

  /** Waits until the last word on a vassal is this. */
  async hears(name: string, word: string, deadlineMs?: number): Promise<void> {
    try {
      await until(word, () => this.storyOf(name).at(-1) === word, deadlineMs);
    } catch (error) {
      const story = JSON.stringify(this.storyOf(name));
      throw new Error(`${name} was not reported as ${JSON.stringify(word)}: ${story}`, {
        cause: error,
      });
    }
  }

  /** The kinds of conditions that hold now. */
  troubles(): readonly string[] {
    const active = new Map<string, boolean>();
    for (const one of this.conditions) active.set(`${one.kind} ${one.directory}`, one.active);
    return [...active].filter(([, is]) => is).map(([key]) => key.split(' ')[0] ?? '');
  }

  /** Waits for one kind of condition, whatever others there are. */
  async suffersAlso(kind: string): Promise<void> {
    try {
      await until(kind, () => this.troubles().includes(kind));
    } catch (error) {
      const told = JSON.stringify([this.sightings, this.conditions]);
      throw new Error(`${kind} was not said: ${told}`, { cause: error });
    }
  }

  /** Waits until exactly this condition holds, or none. */
  async suffers(kind: string | undefined, deadlineMs?: number): Promise<void> {
    const wanted = kind === undefined ? [] : [kind];
    try {
      await until('conditions', () => String(this.troubles()) === String(wanted), deadlineMs);
    } catch (error) {
      throw new Error(`conditions are ${JSON.stringify(this.conditions)}`, { cause: error });
    }
  }

  /** Forgets what was reported so far. */
  forget(): void {
    this.sightings.length = 0;
  }

  close(): void {
    this.#watch?.close();
    rmSync(this.root, { recursive: true, force: true });
  }
}

export function wordOf(sighting: Sighting): string {
  if (sighting.kind === 'gone') return 'gone';
  if (sighting.kind === 'refused') return sighting.diagnostics[0]?.code ?? 'refused';
  return sighting.touched ? 'touched' : sighting.text;
}

/** Runs a shell script in a process of its own; $1, $2, … are `args`. */
export async function shell(script: string, ...args: readonly string[]): Promise<void> {
  const child = spawn('sh', ['-ec', script, 'sh', ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const status = await new Promise((resolve) => child.once('exit', resolve));
  if (status !== 0) throw new Error(`exit ${String(status)}: ${script}`);
}
