/**
 * stdout carries data, stderr talk. Both are touched only when there is something to say: `exec` becomes
 * another program, and a stream that Node has opened would not be left as it was.
 */
import { isatty } from 'node:tty';
import { readEnvironment } from '../base/environment.ts';
import { isErrno } from '../base/errors.ts';
import type { Globals } from './call.ts';
import { EXIT, leave } from './exit.ts';
import { jsonText } from './json.ts';
import { type Paint, painter } from './paint.ts';
import type { TableStyle } from './table.ts';

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;

let isGuarded = false;

/** Writes data. A reader that has gone (`emperor ls | head`) ends us quietly. */
export function print(data: string | Uint8Array): void {
  if (!isGuarded) {
    isGuarded = true;
    process.stdout.on('error', (error) => {
      if (isErrno(error, 'EPIPE')) leave(EXIT.done);
      throw error;
    });
  }
  process.stdout.write(data);
}

export function printJson(value: unknown): void {
  print(`${jsonText(value, 2)}\n`);
}

/** One object a line, for what goes on. */
export function printJsonLine(value: unknown): void {
  print(`${jsonText(value)}\n`);
}

/** Writes talk: one line on stderr. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

export const isInputTerminal = (): boolean => isatty(STDIN);
export const isOutputTerminal = (): boolean => isatty(STDOUT);
export const isTalkTerminal = (): boolean => isatty(STDERR);

/** False where --no-color or NO_COLOR (no-color.org) say so. */
export function allowsColour({ color }: Globals): boolean {
  return color && (readEnvironment('NO_COLOR') ?? '') === '';
}

/** Colours on a terminal that can show them, where they are allowed. */
export function paintFor(globals: Globals): Paint {
  return painter(allowsColour(globals) && isOutputTerminal() && readEnvironment('TERM') !== 'dumb');
}

export function tableStyle(globals: Globals): TableStyle {
  return {
    paint: paintFor(globals),
    width: isOutputTerminal() ? widthOf(process.stdout) : null,
  };
}

/** A serial console that was never told its size says 0: then nobody knows. */
export function widthOf({ columns }: { readonly columns?: number }): number | null {
  return columns === undefined || columns === 0 ? null : columns;
}
