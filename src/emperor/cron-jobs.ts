/** The jobs that a vassal's configuration comes to, each with a number that is its own. Pure. */
import { createHash } from 'node:crypto';
import type { CronJob } from '../config/kinds/cron.ts';
import type { VassalConfig } from '../config/vassal-config.ts';
import { parseSchedule } from '../cron/parse-schedule.ts';
import type { Schedule } from '../cron/schedule.ts';
import { hostZone } from '../cron/zone.ts';

export interface Job {
  readonly vassal: string;
  /** Of 35 bits, unlike that of any other job of the vassal; the same as long as its line says the same. */
  readonly key: number;
  readonly option: 'cron' | 'unique-cron' | 'cron2';
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
}

export const KEY_BITS = 35;

export function jobsOf(config: VassalConfig): readonly Job[] {
  const keys = new Set<number>();
  // An emperor before this one wrote down what runs without these.
  const {
    cron = [],
    uniqueCron = [],
    cron2 = [],
    cronHarakiriMs = 0,
  } = config as Partial<VassalConfig>;
  const make = (option: Job['option'], jobs: readonly CronJob[]) =>
    jobs.flatMap((job) => jobOf(config.name, { option, job, keys, cronHarakiriMs }));
  return [...make('cron', cron), ...make('unique-cron', uniqueCron), ...make('cron2', cron2)];
}

interface Source {
  readonly option: Job['option'];
  readonly job: CronJob;
  /** That are taken. */
  readonly keys: Set<number>;
  readonly cronHarakiriMs: number;
}

function jobOf(vassal: string, { option, job, keys, cronHarakiriMs }: Source): readonly Job[] {
  const parsed = parseSchedule(job.expression);
  // It was written down by an emperor that understood more.
  if ('faults' in parsed) return [];
  const zone = job.zone ?? hostZone();
  const identity = [vassal, job.expression, zone, job.command].join('\0');
  let key = keyOf(identity);
  for (let twin = 1; keys.has(key); twin += 1) key = keyOf(`${identity}\0${twin}`);
  keys.add(key);
  const { expression, command, isUnique, catchesUp } = job;
  const harakiriMs = job.harakiriMs ?? cronHarakiriMs;
  const label = labelOf(command);
  const { schedule } = parsed;
  const same = { expression, command, isUnique, catchesUp, harakiriMs, label, schedule };
  return [{ vassal, key, option, zone, ...same }];
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
