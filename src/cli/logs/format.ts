/** How a line of a log is shown. Pure. */
import { jsonText } from '../json.ts';
import { type Paint, painter } from '../paint.ts';
import { printable } from '../printable.ts';
import type { LogLine } from './line.ts';

export type LogFormat = 'text' | 'json' | 'raw';

const MILLISECONDS = /(\.\d{3})\d*Z$/;
const LINE_END = Buffer.from('\n');

/** Returns what is printed for one line. Only `raw` lets control characters through. */
export function formatLogLine(
  line: LogLine,
  format: LogFormat,
  paint: Paint = painter(false),
): Buffer {
  switch (format) {
    case 'raw':
      return Buffer.concat([line.text, LINE_END]);
    case 'json':
      return Buffer.from(`${jsonText(jsonOf(line))}\n`);
    case 'text': {
      const time = paint('dim', line.time.replace(MILLISECONDS, '$1Z'));
      const label = paint(line.stream === 'stderr' ? 'yellow' : 'cyan', printable(line.label));
      const head = [time, label].filter((part) => part !== '');
      return Buffer.from(`${[...head, printable(line.text.toString('utf8'))].join(' ')}\n`);
    }
  }
}

function jsonOf({ time, stream, label, text }: LogLine) {
  return { time, stream, label, text: text.toString('utf8') };
}
