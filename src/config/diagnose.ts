/**
 * Findings about configuration texts: the one table of their codes, and the collector that holds all of one
 * reading, bounded and in the order of lines. render/diagnostics.ts prints them.
 */
import type { Diagnostic } from '../base/errors.ts';

/** code → what it means, for docs/options.md. */
export const CODES = {
  'file-size': 'The text is larger than a configuration file may be.',
  'file-open': 'The file can be changed by users that its owner did not choose.',
  'foreign-owner': 'The file belongs to a user whose files are not trusted.',
  'control-character': 'A line or value holds a character that is no visible text.',
  'bad-line': 'The line is no section, no `key = value` and no comment.',
  'bad-section': 'The section is not one that this file can have.',
  'no-section': 'The file has no section that says what it is about.',
  'outside-section': 'The key stands before any section.',
  'unknown-key': 'No option has this name.',
  'duplicate-key': 'The key takes one value and is given more than once.',
  'missing-key': 'A key that is required is not given.',
  'bad-value': 'The value is not of the kind that the key takes.',
  'shell-syntax': 'The command holds shell syntax, and no shell reads it.',
  'operator-only': "The key or construct is for the operator's files only.",
  'more-findings': 'There are more findings than anybody reads at once.',
  'wide-address': 'The address means more than it says: bits beyond the mask are left out.',
  'no-router': 'The vassal has a tuntap device, and there is nothing to attach it to.',
  'bad-address': 'The address is not one that the vassal can have.',
  'open-family': 'IPv4 packets are denied, and IPv6 packets are not.',
  'odd-schedule': 'The schedule of the job is understood, and does less than it seems to.',
  'has-no-effect': 'The line changes nothing.',
  'bad-template': 'A placeholder, loop or `%` sequence cannot be replaced.',
  'unset-variable': 'The environment variable is not set, so its name stays as text.',
  'expansion-too-large': 'Loops, includes and placeholders make too much text.',
  'bad-include': 'The included file cannot be read, or includes itself.',
  'unknown-class': 'No class of this name is declared.',
  'unknown-distro': 'There is no distro of this name.',
  'no-distro': 'The vassal names no distro, and there is no default.',
  'bad-crontab': "In a customer's own crontab: the line, or the file, cannot be understood.",
} as const;

export type Code = keyof typeof CODES;

/** Where in a text something stands; positions count from 1, 0 means the whole file. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** The line as it stands in the file. */
  readonly text?: string;
}

export interface Finding {
  readonly code: Code;
  readonly message: string;
  readonly hint?: string | undefined;
}

/** A text can have a fault in every line; nobody reads more than this. */
const MAX_FINDINGS = 100;

export function wholeFile(file: string): Place {
  return { file, line: 0, column: 0 };
}

const MORE = 'more-findings' satisfies Code;

export class Findings {
  readonly #found = new Map<string, Diagnostic>();
  readonly #files: string[];
  #hasErrors = false;
  #omitted = 0;

  /** Findings about `file` come first, those about what it includes or refers to after them. */
  constructor(file: string) {
    this.#files = [file];
  }

  get hasErrors(): boolean {
    return this.#hasErrors;
  }

  /** True once further findings are only counted: no use in looking for a good hint. */
  get isFull(): boolean {
    return this.#found.size >= MAX_FINDINGS;
  }

  error(place: Place, finding: Finding): void {
    this.#hasErrors = true;
    this.#add('error', place, finding);
  }

  warning(place: Place, finding: Finding): void {
    this.#add('warning', place, finding);
  }

  /** All findings: file by file, in the order of positions. */
  list(): readonly Diagnostic[] {
    const rank = (file: string) => this.#files.indexOf(file);
    const found = [...this.#found.values()].sort(
      (a, b) => rank(a.file) - rank(b.file) || a.line - b.line || a.column - b.column,
    );
    return this.#omitted === 0 ? found : [...found, omission(this.#files[0] ?? '', this.#omitted)];
  }

  /** The same finding at the same place (a line inside a loop) counts once. */
  #add(severity: Diagnostic['severity'], place: Place, { code, message, hint }: Finding): void {
    const key = `${place.file}:${place.line}:${place.column}:${code}`;
    if (this.#found.has(key)) return;
    if (this.isFull) {
      this.#omitted += 1;
      return;
    }
    if (!this.#files.includes(place.file)) this.#files.push(place.file);
    this.#found.set(key, {
      ...place,
      severity,
      code,
      message,
      ...(hint === undefined ? {} : { hint }),
    });
  }
}

function omission(file: string, count: number): Diagnostic {
  const message = `There are ${count} more findings`;
  const hint = 'mend those above first';
  return { ...wholeFile(file), severity: 'error', code: MORE, message, hint };
}
