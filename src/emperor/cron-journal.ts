/**
 * What has become of jobs, so that the next emperor knows: state-dir/cron.jsonl, a journal of lines.
 *
 * A start is written down when init has answered it and before init is told that its end was noted. So whenever an
 * emperor dies, each run is known to the journal or to init, and a minute that was begun can be finished by the next:
 * runs of both are not started again. Lines are not waited for on disk: with the machine everything else ends, too.
 */
import { join } from 'node:path';
import { Journal, type JournalFormat, readJournal } from '../base/journal.ts';
import { Minutes, type Span } from './cron-minutes.ts';

const JOURNAL = 'cron.jsonl';
const FORMAT: JournalFormat<Line> = { version: 1, isLine, growthBytes: 4 * 1024 * 1024 };

/** How a job's last run went; times are milliseconds since 1970. */
export interface LastRun {
  /** That it was for. */
  readonly minute: number;
  readonly startedAtMs: number;
  /** Null while it runs. */
  readonly endedAtMs: number | null;
  /** Null if it was killed, or nobody knows. */
  readonly code: number | null;
  readonly signal: string | null;
  /** Why it was not started; then there is no exit. */
  readonly error: string | null;
}

export interface JobRecord {
  /** Minute from which on it is known: what it would have done before was not missed. */
  readonly since: number;
  readonly runs: number;
  readonly failures: number;
  readonly last: LastRun | null;
}

type Line =
  | { readonly kind: 'lived'; readonly spans: readonly Span[] }
  | { readonly kind: 'begun'; readonly minute: number }
  /** Each of its runs was started or skipped. */
  | { readonly kind: 'done'; readonly minute: number }
  | {
      readonly kind: 'job';
      readonly vassal: string;
      readonly key: number;
      /** Null: forgotten. */
      readonly record: JobRecord | null;
    };

export class CronJournal {
  readonly #journal: Journal<Line>;
  readonly #writeDown: (write: () => void) => void;
  readonly #jobs = new Map<string, Map<number, JobRecord>>();
  readonly #begun = new Set<number>();
  readonly lived = new Minutes();

  /** `writeDown` is given what may throw Node's errors, such as ENOSPC. */
  constructor(stateDirectory: string, writeDown: (write: () => void) => void) {
    this.#writeDown = writeDown;
    const path = join(stateDirectory, JOURNAL);
    for (const line of readJournal(path, FORMAT)) this.#take(line);
    this.#journal = new Journal({ path, format: FORMAT, content: () => this.#lines() });
    this.#journal.rewrite();
  }

  /** Minutes that were begun and not finished; they count as lived through. */
  get begun(): readonly number[] {
    return [...this.#begun];
  }

  read(vassal: string, key: number): JobRecord | undefined {
    return this.#jobs.get(vassal)?.get(key);
  }

  keys(vassal: string): readonly number[] {
    return [...(this.#jobs.get(vassal)?.keys() ?? [])];
  }

  vassals(): readonly string[] {
    return [...this.#jobs.keys()];
  }

  write(vassal: string, key: number, record: JobRecord | null): void {
    this.#note({ kind: 'job', vassal, key, record });
  }

  begin(minute: number): void {
    this.#note({ kind: 'begun', minute });
  }

  finish(minute: number): void {
    this.#note({ kind: 'done', minute });
  }

  /** Minutes without a job, which nobody needs to know one by one. */
  live(first: number, last: number): void {
    this.lived.add(first, last);
  }

  /** Writes down what was lived through meanwhile. */
  close(): void {
    this.#note({ kind: 'lived', spans: this.lived.spans });
    this.#journal.close();
  }

  #note(line: Line): void {
    this.#take(line);
    this.#writeDown(() => this.#journal.append([line]));
  }

  #take(line: Line): void {
    if (line.kind === 'lived') for (const [first, last] of line.spans) this.lived.add(first, last);
    else if (line.kind === 'begun') {
      this.#begun.add(line.minute);
      this.lived.add(line.minute);
    } else if (line.kind === 'done') this.#begun.delete(line.minute);
    else this.#takeJob(line);
  }

  #takeJob({ vassal, key, record }: Extract<Line, { kind: 'job' }>): void {
    const jobs = this.#jobs.get(vassal) ?? new Map<number, JobRecord>();
    if (record) jobs.set(key, record);
    else jobs.delete(key);
    if (jobs.size === 0) this.#jobs.delete(vassal);
    else this.#jobs.set(vassal, jobs);
  }

  #lines(): readonly Line[] {
    const lines: Line[] = [{ kind: 'lived', spans: this.lived.spans }];
    for (const minute of this.#begun) lines.push({ kind: 'begun', minute });
    for (const [vassal, jobs] of this.#jobs) {
      for (const [key, record] of jobs) lines.push({ kind: 'job', vassal, key, record });
    }
    return lines;
  }
}

function isLine(json: object): json is Line {
  const line = json as Record<string, unknown>;
  if (line.kind === 'lived') return Array.isArray(line.spans) && line.spans.every(isSpan);
  if (line.kind === 'begun' || line.kind === 'done') return Number.isSafeInteger(line.minute);
  if (line.kind !== 'job' || typeof line.vassal !== 'string') return false;
  return Number.isSafeInteger(line.key) && (line.record === null || isRecord(line.record));
}

function isSpan(json: unknown): boolean {
  return Array.isArray(json) && json.length === 2 && json.every(Number.isSafeInteger);
}

function isRecord(json: unknown): boolean {
  if (typeof json !== 'object' || json === null) return false;
  const { since, runs, failures, last } = json as Partial<JobRecord>;
  const isLast = last === null || Number.isSafeInteger(last?.minute);
  return [since, runs, failures].every(Number.isSafeInteger) && isLast;
}
