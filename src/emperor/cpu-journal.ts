/** What vassals with `daily-cpu` had used when it was last written down: state-dir/daily-cpu.jsonl, a journal of lines. */
import { join } from 'node:path';
import { Journal, type JournalFormat, readJournal } from '../base/journal.ts';
import type { CpuReading } from '../vassal/cpu-day.ts';
import type { CpuReadings } from '../vassal/daily-cpu.ts';

const JOURNAL = 'daily-cpu.jsonl';
const FORMAT: JournalFormat<Line> = { version: 1, isLine, growthBytes: 4 * 1024 * 1024 };

interface Line {
  readonly name: string;
  /** Null: forgotten. */
  readonly reading: CpuReading | null;
}

export class CpuJournal implements CpuReadings {
  readonly #known = new Map<string, CpuReading>();
  readonly #journal: Journal<Line>;
  readonly #writeDown: (write: () => void) => void;

  /** `writeDown` is given what may throw Node's errors, such as ENOSPC. */
  constructor(stateDirectory: string, writeDown: (write: () => void) => void) {
    this.#writeDown = writeDown;
    const path = join(stateDirectory, JOURNAL);
    for (const line of readJournal(path, FORMAT)) this.#take(line);
    this.#journal = new Journal({
      path,
      format: FORMAT,
      content: () => [...this.#known].map(([name, reading]) => ({ name, reading })),
    });
    this.#journal.rewrite();
  }

  read(name: string): CpuReading | undefined {
    return this.#known.get(name);
  }

  write(name: string, reading: CpuReading | null): void {
    if (reading === null && !this.#known.has(name)) return;
    this.#take({ name, reading });
    this.#writeDown(() => this.#journal.append([{ name, reading }]));
  }

  close(): void {
    this.#journal.close();
  }

  #take({ name, reading }: Line): void {
    if (reading) this.#known.set(name, reading);
    else this.#known.delete(name);
  }
}

function isLine(json: object): json is Line {
  const { name, reading } = json as Partial<Line>;
  return typeof name === 'string' && (reading === null || isReading(reading));
}

function isReading(json: unknown): json is CpuReading {
  if (typeof json !== 'object' || json === null) return false;
  const { atMs, usedMs, counterMs, startedAtMs, isSpent } = json as Partial<CpuReading>;
  return (
    [atMs, usedMs, counterMs, startedAtMs].every(Number.isFinite) && typeof isSpent === 'boolean'
  );
}
