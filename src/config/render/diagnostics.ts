/**
 * Findings as people read them: `FILE:LINE:COL: error[CODE]: message`, the line with a caret below, the hint.
 * What stands in a hostile file never reaches a terminal as it is: control and direction-changing
 * characters are written as escapes.
 */
import type { Diagnostic } from '../../base/errors.ts';
import { visible } from '../../base/visible.ts';

/** Lines longer than this are cut around the caret. */
const MAX_SHOWN = 160;

export function renderDiagnostics(diagnostics: readonly Diagnostic[]): string {
  return diagnostics.map(renderOne).join('');
}

function renderOne(diagnostic: Diagnostic): string {
  const { severity, code, message, hint } = diagnostic;
  const lines = [
    `${placeOf(diagnostic)}: ${severity}[${code}]: ${visible(message)}`,
    ...excerptOf(diagnostic),
    ...(hint === undefined ? [] : [`  hint: ${visible(hint)}`]),
  ];
  return `${lines.join('\n')}\n`;
}

function placeOf({ file, line, column }: Diagnostic): string {
  return line === 0 ? visible(file) : `${visible(file)}:${line}:${column}`;
}

/** The line and a caret, aligned also where characters had to be escaped. */
function excerptOf({ text, column }: Diagnostic): readonly string[] {
  if (text === undefined) return [];
  const characters = [...text];
  const start = Math.max(0, column - 1 - MAX_SHOWN / 2);
  const shown = characters.slice(start, start + MAX_SHOWN);
  const before = start > 0 ? '…' : '';
  const after = start + MAX_SHOWN < characters.length ? '…' : '';
  const line = `    ${before}${visible(shown.join(''))}${after}`;
  if (column === 0) return [line];
  const lead = visible(shown.slice(0, column - 1 - start).join(''));
  return [line, `    ${before && ' '}${' '.repeat([...lead].length)}^`];
}
