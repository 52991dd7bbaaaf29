/**
 * uWSGI's `cron2 = KEY=VALUE,KEY=VALUE COMMAND`: the first word holds options if it holds a `=`. A comma of a value, as in
 * a list of hours, has a backslash before it. Pure.
 */
import { type Fault, faultAt, shown, type Word, wordsIn } from '../../base/fault.ts';
import { didYouMean } from '../../base/nearest.ts';
import { parseDurationMs } from '../../base/units.ts';
import { commandFaults } from '../../cron/cron-line.ts';
import { readSchedule } from '../../cron/parse-schedule.ts';
import { zoneFault } from '../../cron/zone.ts';
import type { CronJob } from './cron.ts';

export type ParsedOptions =
  | { readonly job: CronJob; readonly warnings: readonly Fault[] }
  | { readonly faults: readonly Fault[] };

/** In the order of a schedule. */
const TIMES = ['minute', 'hour', 'day', 'month', 'week'] as const;
const SETTINGS = ['unique', 'harakiri', 'timezone', 'catch-up'] as const;
const KEYS: readonly string[] = [...TIMES, ...SETTINGS];
const MAX_HARAKIRI_MS = 7 * 86_400_000;

export function parseCronOptions(text: string): ParsedOptions {
  const [first, ...others] = wordsIn(text);
  const hasOptions = first?.text.includes('=') ?? false;
  const options = new Options(first && hasOptions ? first : { text: '', offset: 0 });
  const start = hasOptions ? others[0] : first;
  const times = options.times();
  const read = readSchedule(times, text);
  const job = {
    expression: times.map((word) => word.text).join(' '),
    ...options.settings(),
    command: text.slice(start?.offset ?? text.length).trimEnd(),
  };
  const faults = [
    ...options.faults,
    ...('faults' in read ? read.faults : []),
    ...commandFaults(start, text),
  ];
  if (faults.length > 0 || 'faults' in read) return { faults };
  return { job, warnings: read.warnings };
}

/** The options of one line, each taken by its key; what is wrong with them. */
class Options {
  readonly faults: Fault[] = [];
  readonly #values = new Map<string, Word>();
  readonly #start: number;

  constructor(word: Word) {
    this.#start = word.offset;
    let at = word.offset;
    for (const part of word.text === '' ? [] : word.text.split(/(?<!\\),/)) {
      this.#take({ text: part, offset: at });
      at += part.length + 1;
    }
  }

  /** The words of a schedule: what is left out is any. */
  times(): readonly Word[] {
    const given = TIMES.map((key) => this.#values.get(key));
    const isUwsgi = given.every((word) => word === undefined || /^-?\d+$/.test(word.text));
    const any = { text: isUwsgi ? '-1' : '*', offset: this.#start };
    return given.map((word) => word ?? any);
  }

  settings() {
    return {
      zone: this.#zone(),
      isUnique: this.#switch('unique'),
      harakiriMs: this.#harakiri(),
      catchesUp: this.#switch('catch-up'),
    };
  }

  #take({ text, offset }: Word): void {
    const equals = text.indexOf('=');
    const key = { text: equals < 0 ? text : text.slice(0, equals), offset };
    const value = {
      text: text.slice(equals + 1).replaceAll('\\,', ','),
      offset: offset + equals + 1,
    };
    if (equals < 0 || !KEYS.includes(key.text)) this.#refuse(key, equals < 0);
    else if (this.#values.has(key.text)) {
      this.faults.push(faultAt(key, `\`${shown(key)}\` is given twice`, 'leave one out'));
    } else this.#values.set(key.text, value);
  }

  #refuse(key: Word, hasNoValue: boolean): void {
    const message = `\`${shown(key)}\` is no option of a job`;
    const hint =
      didYouMean(key.text, KEYS) ??
      (hasNoValue
        ? 'options are KEY=VALUE with commas between; a comma of a value is written `\\,`'
        : `it takes ${KEYS.join(', ')}`);
    this.faults.push(faultAt(key, message, hint));
  }

  #switch(key: (typeof SETTINGS)[number]): boolean {
    const word = this.#values.get(key);
    if (!word || word.text === '0') return false;
    if (word.text !== '1') {
      this.faults.push(faultAt(word, `\`${shown(word)}\` is neither 0 nor 1`, 'write 1 for yes'));
    }
    return true;
  }

  #harakiri(): number | null {
    const word = this.#values.get('harakiri');
    if (!word) return null;
    const ms = parseDurationMs(word.text);
    if (ms !== undefined && ms <= MAX_HARAKIRI_MS) return Math.round(ms);
    const hint = 'it takes seconds, or a duration such as `10m`, up to seven days; 0 is never';
    this.faults.push(faultAt(word, `\`${shown(word)}\` is no time after which to kill it`, hint));
    return null;
  }

  #zone(): string | null {
    const word = this.#values.get('timezone');
    const fault = word && zoneFault(word);
    if (fault) this.faults.push(fault);
    return word?.text ?? null;
  }
}

/** The text that parseCronOptions() reads as `job`. */
export function printCronOptions(job: CronJob): string {
  const fields = job.expression.split(' ');
  const options = [
    ...TIMES.map((key, index) => `${key}=${(fields[index] ?? '*').replaceAll(',', '\\,')}`),
    ...(job.isUnique ? ['unique=1'] : []),
    ...(job.harakiriMs === null ? [] : [`harakiri=${job.harakiriMs}ms`]),
    ...(job.zone === null ? [] : [`timezone=${job.zone}`]),
    ...(job.catchesUp ? ['catch-up=1'] : []),
  ];
  return `${options.join(',')} ${job.command}`;
}
