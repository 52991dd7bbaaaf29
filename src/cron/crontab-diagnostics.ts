/** What is wrong with a crontab in the form that all configuration's findings have. Pure. */
import type { Diagnostic } from '../base/errors.ts';
import type { CrontabFinding } from './crontab.ts';

/** Of a line; lists hold the findings of many. */
const MAX_SHOWN = 160;

export function diagnosticOf(file: string, finding: CrontabFinding): Diagnostic {
  const { line, offset, severity, message, hint, text } = finding;
  const place = { file, line, column: line === 0 ? 0 : offset + 1 };
  const shown = offset < MAX_SHOWN ? text.slice(0, MAX_SHOWN) : '';
  const excerpt = shown === '' ? {} : { text: shown };
  return { ...place, severity, code: 'bad-crontab', message, hint, ...excerpt };
}
