/** What judges of several keys together share: where the values come from, and who is told. */
import { type Findings, type Place, wholeFile } from './diagnose.ts';
import type { Line } from './line.ts';
import type { Option } from './options/option.ts';

export interface JudgeSource {
  readonly file: string;
  /** Lowest precedence first. */
  readonly lines: readonly Line[];
  readonly findings: Findings;
}

/** Of a key with many values the one at `index`; else the line that wins. */
export function placeOf({ lines, file }: JudgeSource, { name }: Option, index = -1): Place {
  const own = lines.filter(({ key }) => key === name);
  return own.at(index)?.valuePlace ?? wholeFile(file);
}

/** Notes an error; what it says is a message and a hint. */
export function refuse(
  source: JudgeSource,
  place: Place,
  [message, hint]: readonly [string, string],
): void {
  source.findings.error(place, { code: 'bad-value', message, hint });
}
