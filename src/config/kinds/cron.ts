/** Kinds of jobs that run at times: `cron`, `unique-cron`, and `cron2` with its options. */
import type { Fault as CronFault } from '../../base/fault.ts';
import { parseCronLine } from '../../cron/cron-line.ts';
import { parseCronOptions, printCronOptions } from './cron-options.ts';
import { type Fault, type Kind, type Parsed, unlike, type Warning } from './kind.ts';

/** Plain JSON. Its schedule is kept as text; parseSchedule() reads it. */
export interface CronJob {
  /** Five fields or a word such as `@daily`, one blank between. */
  readonly expression: string;
  /** IANA name; null for the machine's. */
  readonly zone: string | null;
  /** For `/bin/sh -c`. */
  readonly command: string;
  /** Not started while it runs. */
  readonly isUnique: boolean;
  /** It is killed after so long; 0 for never, null for what `cron-harakiri` says. */
  readonly harakiriMs: number | null;
  /** The newest of the times that were missed is made up for. */
  readonly catchesUp: boolean;
}

const EXPECTS =
  '`MINUTE HOUR DAY MONTH WEEKDAY COMMAND`, the times as crontab or uWSGI writes them, or `@daily COMMAND`';
const DESCRIBED = { name: 'job', expects: EXPECTS, schema: { pattern: '^\\S+\\s+\\S' } };

/** A line whose job may run several times at once, or with `isUnique` may not. */
export function cronLine({ isUnique }: { readonly isUnique: boolean }): Kind<CronJob> {
  return {
    ...DESCRIBED,
    parse(text) {
      const parsed = parseCronLine(text);
      if ('faults' in parsed) return refused(text, parsed.faults);
      const { expression, zone, command } = parsed.line;
      const value = { expression, zone, command, isUnique, harakiriMs: null, catchesUp: false };
      return { value, warnings: parsed.warnings.map(oddSchedule) };
    },
    print: ({ zone, expression, command }) =>
      `${zone === null ? '' : `CRON_TZ=${zone} `}${expression} ${command}`,
  };
}

export const cronWithOptions: Kind<CronJob> = {
  name: 'job',
  expects:
    '`minute=…,hour=…,day=…,month=…,week=…,unique=1,harakiri=SECONDS,timezone=ZONE,catch-up=1 COMMAND`, each option if wanted',
  schema: { minLength: 1 },
  parse(text) {
    const parsed = parseCronOptions(text);
    if ('faults' in parsed) return refused(text, parsed.faults);
    return { value: parsed.job, warnings: parsed.warnings.map(oddSchedule) };
  },
  print: printCronOptions,
};

function refused(text: string, [fault, ...more]: readonly CronFault[]): Parsed<never> {
  return fault ? { fault: fault satisfies Fault, more } : unlike(text, DESCRIBED);
}

function oddSchedule(fault: CronFault): Warning {
  return { ...fault, code: 'odd-schedule' };
}
