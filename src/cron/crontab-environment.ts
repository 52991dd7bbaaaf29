/** A line `NAME = VALUE` of a crontab: blanks around `=` and quotes around either side are left out, crontab(5). Pure. */
import type { Word } from '../base/fault.ts';

export interface Assignment {
  readonly name: Word;
  /** As it stands: nothing is expanded. */
  readonly value: Word;
}

/** What is behind `=` is trimmed by hand: a pattern would try each of many blanks as the last. */
const ASSIGNMENT = /^\s*(["']?)([A-Za-z_][A-Za-z0-9_]*)\1\s*=(.*)$/;

/** Returns undefined for a line that is none; a job cannot look like one. */
export function readAssignment(line: string): Assignment | undefined {
  const match = ASSIGNMENT.exec(line);
  const [, quote = '', name = '', rest = ''] = match ?? [];
  const given = rest.trim();
  // `CRON_TZ=ZONE 5 4 * * * command` is a job.
  if (!match || (name === 'CRON_TZ' && quote === '' && /\s/.test(given))) return undefined;
  const isQuoted = given.length > 1 && /^(["']).*\1$/.test(given);
  const value = isQuoted ? given.slice(1, -1) : given;
  const start = line.trimEnd().length - given.length;
  return {
    name: { text: name, offset: line.indexOf(name) },
    value: { text: value, offset: isQuoted ? start + 1 : start },
  };
}
