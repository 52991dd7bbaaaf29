/** What `emperor cron next` is asked about: a schedule, maybe with its zone before it. Pure. */
import type { Fault } from '../../base/fault.ts';
import { parseSchedule } from '../../cron/parse-schedule.ts';
import type { Schedule } from '../../cron/schedule.ts';
import { zoneFault } from '../../cron/zone.ts';

export type ReadExpression =
  | {
      readonly schedule: Schedule;
      /** Null where it names none. */
      readonly zone: string | null;
      readonly warnings: readonly Fault[];
    }
  | { readonly faults: readonly Fault[] };

const ZONE_PREFIX = /^\s*CRON_TZ=(\S*)\s+/;

export function readExpression(text: string): ReadExpression {
  const prefix = ZONE_PREFIX.exec(text);
  const zone = prefix?.[1] ?? null;
  const fault = zone === null ? undefined : zoneFault({ text: zone, offset: 0 });
  if (fault) return { faults: [fault] };
  const parsed = parseSchedule(text.slice(prefix?.[0].length ?? 0));
  return 'faults' in parsed ? parsed : { ...parsed, zone };
}
