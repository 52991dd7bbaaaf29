/** `emperor doctor`: what this machine can and cannot do. Exits with 1 if anything is a problem. */
import type { Call } from '../call.ts';
import type { Finding } from '../doctor/finding.ts';
import { gatherFacts } from '../doctor/gather.ts';
import { judgeMachine } from '../doctor/judge.ts';
import { EXIT } from '../exit.ts';
import { paintFor, print, printJson } from '../output.ts';
import { type Colour, type Paint, painter } from '../paint.ts';
import { printable } from '../printable.ts';
import { iniFileOf } from '../settings.ts';

export async function run({ globals }: Call): Promise<number> {
  const findings = judgeMachine(await gatherFacts(iniFileOf(globals.ini)));
  if (globals.json) printJson(findings);
  else print(renderFindings(findings, paintFor(globals)));
  return findings.some(({ verdict }) => verdict === 'problem') ? EXIT.no : EXIT.done;
}

const COLOURS: Readonly<Record<Finding['verdict'], Colour>> = {
  ok: 'green',
  warning: 'yellow',
  problem: 'red',
};

/** Pure. */
export function renderFindings(
  findings: readonly Finding[],
  paint: Paint = painter(false),
): string {
  return findings
    .flatMap(({ topic, verdict, message, fix }) => [
      `${paint(COLOURS[verdict], verdict.padEnd(7))}  ${printable(`${topic}: ${message}`)}`,
      ...(fix === null ? [] : [`         fix: ${printable(fix)}`]),
    ])
    .map((line) => `${line}\n`)
    .join('');
}
