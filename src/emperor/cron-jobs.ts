/** The jobs that a vassal's configuration and its customer's crontab come to, each with a number that is its own. Pure. */
import { createHash } from 'node:crypto';
import type { CronJob } from '../config/kinds/cron.ts';
import type { VassalConfig } from '../config/vassal-config.ts';
import type { Crontab, CrontabJob } from '../cron/crontab.ts';
import { parseSchedule } from '../cron/parse-schedule.ts';
import type { Schedule } from '../cron/schedule.ts';
import { hostZone } from '../cron/zone.ts';

export type JobOption = 'cron' | 'unique-cron' | 'cron2' | 'crontab';

export interface Job {
  readonly vassal: string;
  /** Of 35 bits, unlike that of any other job of the vassal; the same as long as its line says the same. */
  readonly key: number;
  readonly option: JobOption;
  readonly expression: string;
  readonly schedule: Schedule;
  /** IANA name. */
  readonly zone: string;
  readonly command: string;
  /** Under which its output stands in the log. */
  readonly label: string;
  readonly isUnique: boolean;
  /** It is killed after so long; 0 for never. */
  readonly harakiriMs: number;
  readonly catchesUp: boolean;
  /** What a line of a crontab says besides; null for one of the vassal's file. */
  readonly customer: Pick<CrontabJob, 'lineNumber' | 'input' | 'environment' | 'shell'> | null;
}

export const KEY_BITS = 35;

/** `crontab`: null where there is none, or it has not been read. */
export function jobsOf(config: VassalConfig, crontab: Crontab | null = null): readonly Job[] {
  const keys = new Keys(config.name);
  // An emperor before this one wrote down what runs without these.
  const {
    cron = [],
    uniqueCron = [],
    cron2 = [],
    cronHarakiriMs = 0,
  } = config as Partial<VassalConfig>;
  const make = (option: Job['option'], jobs: readonly CronJob[]) =>
    jobs.flatMap((job) => jobOf(config.name, { option, job, keys, cronHarakiriMs }));
  return [
    ...make('cron', cron),
    ...make('unique-cron', uniqueCron),
    ...make('cron2', cron2),
    ...(crontab?.jobs ?? []).map((line) =>
      customerJobOf(config.name, { line, keys, harakiriMs: cronHarakiriMs }),
    ),
  ];
}

interface Source {
  readonly option: Job['option'];
  readonly job: CronJob;
  readonly keys: Keys;
  readonly cronHarakiriMs: number;
}

function jobOf(vassal: string, { option, job, keys, cronHarakiriMs }: Source): readonly Job[] {
  const parsed = parseSchedule(job.expression);
  // It was written down by an emperor that understood more.
  if ('faults' in parsed) return [];
  const zone = job.zone ?? hostZone();
  const key = keys.take([job.expression, zone, job.command]);
  const { expression, command, isUnique, catchesUp } = job;
  const harakiriMs = job.harakiriMs ?? cronHarakiriMs;
  const label = labelOf(command);
  const { schedule } = parsed;
  const same = { expression, command, isUnique, catchesUp, harakiriMs, label, schedule };
  return [{ vassal, key, option, zone, ...same, customer: null }];
}

/** A line keeps its number however lines around it and the environment change. */
function customerJobOf(
  vassal: string,
  {
    line,
    keys,
    harakiriMs,
  }: { readonly line: CrontabJob; readonly keys: Keys; readonly harakiriMs: number },
): Job {
  const { expression, schedule, command, input, environment, shell, lineNumber } = line;
  const zone = line.zone ?? hostZone();
  return {
    ...{ vassal, zone, expression, schedule, command, harakiriMs },
    key: keys.take(['crontab', expression, zone, command, input]),
    option: 'crontab',
    label: labelOf(command),
    isUnique: false,
    catchesUp: false,
    customer: { lineNumber, input, environment, shell },
  };
}

/** The numbers of one vassal's jobs. */
class Keys {
  readonly #vassal: string;
  readonly #taken = new Set<number>();

  constructor(vassal: string) {
    this.#vassal = vassal;
  }

  /** One that nobody has yet: of two jobs that say the same the second has another. */
  take(words: readonly string[]): number {
    const identity = [this.#vassal, ...words].join('\0');
    let key = keyOf(identity);
    for (let twin = 1; this.#taken.has(key); twin += 1) key = keyOf(`${identity}\0${twin}`);
    this.#taken.add(key);
    return key;
  }
}

function keyOf(identity: string): number {
  return createHash('sha256').update(identity).digest().readUIntBE(0, 5) % 2 ** KEY_BITS;
}

const MAX_LABEL = 40;

/** `cron-` and the program's name: the first word that is no assignment. */
function labelOf(command: string): string {
  const word = command.split(/\s+/).find((one) => !/^[A-Za-z_]\w*=/.test(one)) ?? '';
  const name = word
    .slice(word.lastIndexOf('/') + 1)
    .replaceAll(/[^A-Za-z0-9._-]/g, '')
    .slice(0, MAX_LABEL);
  return `cron-${name === '' ? 'job' : name}`;
}
