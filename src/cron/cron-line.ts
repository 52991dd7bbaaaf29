/** A schedule with its command on one line: what stands in a vassal's `cron`, and in a crontab. Pure. */
import { type Fault, faultAt, shown, type Word, wordsIn } from '../base/fault.ts';
import { readSchedule, scheduleLength } from './parse-schedule.ts';
import type { Schedule } from './schedule.ts';
import { zoneFault } from './zone.ts';

export interface CronLine {
  readonly schedule: Schedule;
  /** Of the words of the schedule, with one blank between: what parses to the same. */
  readonly expression: string;
  /** IANA name; null where the line says none. */
  readonly zone: string | null;
  /** As it stands, for a shell. */
  readonly command: string;
}

export type ParsedLine =
  | { readonly line: CronLine; readonly warnings: readonly Fault[] }
  | { readonly faults: readonly Fault[] };

const ZONE_PREFIX = /^CRON_TZ=(.*)$/;

/** Reads `[CRON_TZ=ZONE] SCHEDULE COMMAND`. */
export function parseCronLine(text: string): ParsedLine {
  const words = wordsIn(text);
  const { zone, rest, faults } = takeZone(words);
  const length = scheduleLength(rest);
  const read = readSchedule(rest.slice(0, length), text);
  const start = rest[length];
  const all = [...faults, ...('faults' in read ? read.faults : []), ...commandFaults(start, text)];
  if (rest.length < length && 'faults' in read) return { faults: [...faults, ...read.faults] };
  if (all.length > 0 || !start || 'faults' in read) return { faults: all };
  const expression = rest
    .slice(0, length)
    .map((word) => word.text)
    .join(' ');
  const command = text.slice(start.offset).trimEnd();
  return { line: { schedule: read.schedule, expression, zone, command }, warnings: read.warnings };
}

function takeZone(words: readonly Word[]) {
  const [first, ...rest] = words;
  const name = first && ZONE_PREFIX.exec(first.text)?.[1];
  if (first === undefined || name === undefined) return { zone: null, rest: words, faults: [] };
  const fault = zoneFault({ text: name, offset: first.offset + first.text.length - name.length });
  return { zone: name, rest, faults: fault ? [fault] : [] };
}

/** A first word that looks like a sixth field: somebody's seconds came first, or one field too many. */
const FIELD_LIKE = /^(?:\?|\*(?:\/\d+)?|-?\d+(?:[-,/]\d+)*)$/;

/** What is wrong with a command that begins at `start`, the end of a line that may have none. */
export function commandFaults(start: Word | undefined, text: string): readonly Fault[] {
  if (!start) {
    const end = { text: '', offset: text.trimEnd().length };
    return [faultAt(end, 'it has no command', 'write what is to be run behind the times')];
  }
  if (!FIELD_LIKE.test(start.text)) return [];
  const hint =
    'there are five fields, minute to weekday; the minute is the finest, there are no seconds';
  return [faultAt(start, `\`${shown(start)}\` is one field too many`, hint)];
}
