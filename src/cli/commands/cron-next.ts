/** `emperor cron next EXPR`: when a schedule comes next, without a daemon; `-` answers many, one a line. */
import { systemClock } from '../../base/clock.ts';
import { nextTimes } from '../../cron/next-times.ts';
import { hostZone, isZone, zoneOf } from '../../cron/zone.ts';
import { type Call, usageError } from '../call.ts';
import { formatMoment, parseMoment } from '../cron/moment.ts';
import { readExpression } from '../cron/read-expression.ts';
import { EXIT } from '../exit.ts';
import { print, printJson, say } from '../output.ts';
import { printable } from '../printable.ts';
import { readInput } from '../read-input.ts';

const MAX_COUNT = 10_000;

export async function run({ words, options, globals }: Call): Promise<number> {
  const zone = options.text('tz') ?? hostZone();
  if (!isZone(zone)) throw usageError(`Cannot use --tz ${JSON.stringify(zone)}: no such time zone`);
  const setting = { zone, nowMs: systemClock.now() };
  // Not quoted, a schedule comes as five words.
  const text = words.join(' ');
  if (text === '-') return answerAll(await readInput(), setting);
  const from = options.text('from');
  const fromMs = from === undefined ? setting.nowMs : parseMoment(from, zone);
  if (fromMs === undefined) {
    const how = 'use 2026-01-02T03:04, with Z or an offset where it is not the time of the zone';
    throw usageError(`Cannot read --from ${JSON.stringify(from)}: ${how}`);
  }
  const read = readExpression(text);
  if ('faults' in read) {
    for (const { message, hint } of read.faults) say(printable(`emperor: ${message}; ${hint}`));
    return EXIT.no;
  }
  for (const { message, hint } of read.warnings) say(printable(`warning: ${message}; ${hint}`));
  const count = countOf(options.text('number'));
  const times = timesOf(read, { ...setting, fromMs, count });
  if (globals.json) printJson(times);
  else print(times.length === 0 ? 'never\n' : times.map((time) => `${time}\n`).join(''));
  return EXIT.done;
}

interface Setting {
  /** Where the expression names none. */
  readonly zone: string;
  readonly nowMs: number;
}

function timesOf(
  { schedule, zone }: Extract<ReturnType<typeof readExpression>, { schedule: unknown }>,
  setting: Setting & { readonly fromMs: number; readonly count: number },
): readonly string[] {
  if (schedule.kind === 'reboot') return [];
  const name = zone ?? setting.zone;
  const { fromMs, count } = setting;
  return nextTimes(schedule, zoneOf(name), { afterMs: fromMs, count }).map((ms) =>
    formatMoment(ms, name),
  );
}

function countOf(text: string | undefined): number {
  const count = text === undefined ? 1 : /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= MAX_COUNT) return count;
  throw usageError(`Cannot read -n ${JSON.stringify(text)}: use a number from 1 to ${MAX_COUNT}`);
}

// ── many ───────────────────────────────────────────────────────────────────────────────────────

function answerAll(input: string, setting: Setting): number {
  const lines = input.split('\n');
  if (lines.at(-1) === '') lines.pop();
  const answers = lines.map((line) => answerLine(line, setting));
  print(answers.map((answer) => `${answer}\n`).join(''));
  return answers.some((answer) => answer.startsWith('error: ')) ? EXIT.no : EXIT.done;
}

/** Answers one line `FROM<TAB>ZONE<TAB>EXPR`; an empty FROM is now, an empty ZONE that of `--tz`. Pure but for Intl. */
export function answerLine(line: string, setting: Setting): string {
  const [from, zoneName, ...rest] = line.replace(/\r$/, '').split('\t');
  if (from === undefined || zoneName === undefined || rest.length === 0) {
    return 'error: a line is FROM<TAB>ZONE<TAB>EXPR';
  }
  const zone = zoneName.trim() === '' ? setting.zone : zoneName.trim();
  if (!isZone(zone)) return `error: there is no time zone ${printable(zone)}`;
  const fromMs = from.trim() === '' ? setting.nowMs : parseMoment(from.trim(), zone);
  if (fromMs === undefined) return `error: ${printable(from)} is no ISO 8601 time`;
  const read = readExpression(rest.join('\t'));
  if ('faults' in read) {
    return printable(`error: ${read.faults.map(({ message }) => message).join('; ')}`);
  }
  return timesOf(read, { ...setting, zone, fromMs, count: 1 })[0] ?? 'never';
}
