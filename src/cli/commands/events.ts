/** `emperor events [-f] [--since T]`: what happened, and what happens. */
import { systemClock } from '../../base/clock.ts';
import { parseDurationMs } from '../../base/units.ts';
import type { EmperorEvent } from '../../emperor/governor.ts';
import { type Call, usageError } from '../call.ts';
import { EXIT } from '../exit.ts';
import { paintFor, print, printJsonLine } from '../output.ts';
import { type Paint, painter } from '../paint.ts';
import { printable } from '../printable.ts';
import { reach } from '../reach.ts';

export async function run({ options, globals }: Call): Promise<number> {
  const since = parseSince(options.text('since'), systemClock.now());
  const client = await reach(globals);
  const paint = paintFor(globals);
  for await (const event of client.events({ since, follow: options.flag('follow') })) {
    if (globals.json) printJsonLine(event);
    else print(renderEvent(event, paint));
  }
  return EXIT.done;
}

/** Parses ISO 8601, or a duration ago (`10m`), to ISO 8601; throws `bad-usage`. Pure. */
export function parseSince(text: string | undefined, nowMs: number): string | null {
  if (text === undefined) return null;
  const agoMs = parseDurationMs(text);
  const atMs = agoMs === undefined ? Date.parse(text) : nowMs - agoMs;
  if (!Number.isNaN(atMs) && Math.abs(atMs) <= 8.64e15) return new Date(atMs).toISOString();
  throw usageError(
    `Cannot read --since ${JSON.stringify(text)}: use 2026-01-02T03:04:05Z, or a duration such as 10m`,
  );
}

const SHOWN = new Set(['id', 'at', 'event', 'vassal', 'message']);

/** One line: time, vassal, event, the rest. Pure. */
export function renderEvent(event: EmperorEvent, paint: Paint = painter(false)): string {
  const rest = Object.entries(event)
    .filter(([key, value]) => !SHOWN.has(key) && value !== null && value !== undefined)
    .map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  const words = [event.message ?? '', ...rest].filter((word) => word !== '');
  const line = [
    paint('dim', event.at),
    paint('bold', printable(event.vassal ?? '-')),
    printable(event.event),
    printable(words.join(' ')),
  ];
  return `${line.join('  ').trimEnd()}\n`;
}
