/**
 * A crontab, as crontab(5) has it: lines of environment and lines of jobs, text → what to run and what is wrong.
 *
 * It is a customer's, so it is bounded and reading it cannot fail: a line that is not understood is a fault with its
 * number, and the other lines count. An environment line is for the jobs below it. Pure.
 */
import { type Fault, faultAt, type Word } from '../base/fault.ts';
import { type CronLine, parseCronLine } from './cron-line.ts';
import { type Assignment, readAssignment } from './crontab-environment.ts';
import { zoneFault } from './zone.ts';

export const MAX_CRONTAB_BYTES = 64 * 1024;
export const MAX_CRONTAB_JOBS = 200;
const MAX_FINDINGS = 50;
const MAX_VARIABLES = 64;
/** Without comments; a fault or a zone takes longer to tell than to write. */
const MAX_LINES = 500;
/** Bytes; what init can hand to a command as its input. */
const MAX_LINE = 4096;

/** A fault or a note; `offset` counts within the line. */
export interface CrontabFinding extends Fault {
  /** From 1; 0 is the whole file. */
  readonly line: number;
  readonly severity: 'error' | 'warning';
  /** The line, for the caret. */
  readonly text: string;
}

export interface CrontabJob extends CronLine {
  /** From 1. */
  readonly lineNumber: number;
  /** For a shell, `%` taken care of. */
  readonly command: string;
  /** What the command reads from its standard input; empty for none. */
  readonly input: string;
  readonly environment: ReadonlyMap<string, string>;
  /** Absolute path of what is given the command with `-c`. */
  readonly shell: string;
}

export interface Crontab {
  readonly jobs: readonly CrontabJob[];
  /** In the order of lines. */
  readonly findings: readonly CrontabFinding[];
}

const DEFAULT_SHELL = '/bin/sh';

export function parseCrontab(text: string): Crontab {
  if (Buffer.byteLength(text) > MAX_CRONTAB_BYTES) {
    const hint = `it may have ${MAX_CRONTAB_BYTES / 1024} KiB; put long scripts into files`;
    const fault = faultAt({ text: '', offset: 0 }, 'the crontab is too large to be read', hint);
    return { jobs: [], findings: [{ ...fault, line: 0, severity: 'error', text: '' }] };
  }
  const reader = new Reader();
  for (const [index, line] of text.split('\n').entries()) reader.read(line, index + 1);
  return reader.result();
}

class Reader {
  readonly #jobs: CrontabJob[] = [];
  readonly #findings: CrontabFinding[] = [];
  readonly #variables = new Map<string, string>();
  /** Of the last job, as long as no variable has changed since. */
  #environment: ReadonlyMap<string, string> | null = null;
  #zone: string | null = null;
  #hasMailNote = false;
  #lines = 0;

  result(): Crontab {
    return { jobs: this.#jobs, findings: this.#findings };
  }

  read(raw: string, number: number): void {
    const text = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
    if (/^\s*(#|$)/.test(text) || this.#lines > MAX_LINES) return;
    this.#lines += 1;
    const broken = this.#lines > MAX_LINES ? tooManyLines(text) : brokenLine(text);
    const found = broken ? [error(broken)] : this.#readLine(text, number);
    for (const one of found.slice(0, MAX_FINDINGS - this.#findings.length)) {
      this.#findings.push({ ...one, line: number, text });
    }
  }

  #readLine(text: string, number: number): readonly Told[] {
    const assignment = readAssignment(text);
    if (assignment) return this.#assign(assignment);
    const parsed = parseCronLine(text);
    if ('faults' in parsed) return parsed.faults.map(error);
    const refused = this.#addJob(parsed.line, number);
    if (refused) return [error({ ...refused, offset: 0, length: text.length })];
    return parsed.warnings.map(warning);
  }

  #addJob(line: CronLine, lineNumber: number): Pick<Fault, 'message' | 'hint'> | undefined {
    const { command, input } = splitAtPercent(line.command);
    if (command.trim() === '') {
      const hint = 'what stands behind the first `%` is its input; `\\%` is a percent sign';
      return { message: 'it has no command', hint };
    }
    if (this.#jobs.length >= MAX_CRONTAB_JOBS) {
      return {
        message: 'it is one job too many',
        hint: `a crontab may have ${MAX_CRONTAB_JOBS} jobs`,
      };
    }
    this.#environment ??= new Map(this.#variables);
    const shell = this.#environment.get('SHELL') ?? DEFAULT_SHELL;
    const zone = line.zone ?? this.#zone;
    const environment = this.#environment;
    this.#jobs.push({ ...line, lineNumber, zone, command, input, environment, shell });
    return undefined;
  }

  #assign({ name, value }: Assignment): readonly Told[] {
    if (name.text === 'MAILTO' || name.text === 'MAILFROM') return this.#noteMail(name, value);
    if (name.text === 'CRON_TZ') return this.#setZone(value);
    if (name.text === 'SHELL' && !value.text.startsWith('/')) {
      const hint = 'write its whole path, such as `SHELL=/bin/bash`';
      return [error(faultAt(value, 'this is no path of a shell', hint))];
    }
    if (this.#variables.size >= MAX_VARIABLES && !this.#variables.has(name.text)) {
      const hint = `a crontab may set ${MAX_VARIABLES}`;
      return [error(faultAt(name, 'it is one variable too many', hint))];
    }
    this.#variables.set(name.text, value.text);
    this.#environment = null;
    return [];
  }

  /** An empty MAILTO asks for what is so. */
  #noteMail(name: Word, value: Word): readonly Told[] {
    if (value.text === '' || this.#hasMailNote) return [];
    this.#hasMailNote = true;
    const hint = 'what a job writes stands in the log of the vassal, `/var/log/vassal/current`';
    return [warning(faultAt(name, 'no mail is sent', hint))];
  }

  #setZone(value: Word): readonly Told[] {
    const fault = zoneFault(value);
    if (fault) return [error(fault)];
    this.#zone = value.text;
    return [];
  }
}

type Told = Fault & Pick<CrontabFinding, 'severity'>;

function error(fault: Fault): Told {
  return { ...fault, severity: 'error' };
}

function warning(fault: Fault): Told {
  return { ...fault, severity: 'warning' };
}

// Tabs separate words; everything else below a blank is no text.
const CONTROL = /[\u0000-\u0008\u000a-\u001f\u007f]/;

function tooManyLines(text: string): Fault {
  const message = 'it is one line too many, and those below it do not count either';
  return faultAt(
    { text, offset: 0 },
    message,
    `a crontab may have ${MAX_LINES} lines, comments aside`,
  );
}

function brokenLine(line: string): Fault | undefined {
  if (Buffer.byteLength(line) > MAX_LINE) {
    const hint = `a line may have ${MAX_LINE} bytes; put the command into a file`;
    return faultAt({ text: '', offset: MAX_LINE }, 'the line is too long', hint);
  }
  const offset = line.search(CONTROL);
  if (offset < 0) return undefined;
  return faultAt({ text: ' ', offset }, 'it holds a control character', 'remove it');
}

/** The first `%` begins the input, each further one begins a line of it; `\%` is a percent sign (crontab(5)). */
function splitAtPercent(text: string): { readonly command: string; readonly input: string } {
  const [command = '', ...lines] = text
    .split(/(?<!\\)%/)
    .map((part) => part.replaceAll('\\%', '%'));
  return { command, input: lines.length === 0 ? '' : `${lines.join('\n')}\n` };
}
