/** What /proc says about processes (proc(5)): identity by start time, never by pid alone. */
import { readFileSync } from 'node:fs';
import { isErrno } from '../base/errors.ts';

/** One line of /proc/PID/stat, the fields that are needed. */
export interface ProcessStat {
  readonly pid: number;
  /** At most 15 bytes, chosen by the process: may hold anything but NUL. */
  readonly name: string;
  /** One letter, proc_pid_stat(5): R S D Z T t X I. */
  readonly state: string;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
  /** Clock ticks between boot and the start of the process; with pid and boot id it names the process. */
  readonly startTime: number;
}

/** Index of a field behind the name, counted from the state (field 3 of proc_pid_stat(5)). */
const FIELD = { state: 0, parent: 1, group: 2, session: 3, startTime: 19 } as const;

/**
 * Parses /proc/PID/stat; undefined if it is none. The name stands in parentheses and may itself hold
 * parentheses, blanks and line ends, so it reaches to the last `)` of the text.
 */
export function parseStat(text: string): ProcessStat | undefined {
  const open = text.indexOf('(');
  const close = text.lastIndexOf(')');
  if (open < 0 || close < open) return undefined;
  const fields = text.slice(close + 2).split(' ');
  const state = fields[FIELD.state] ?? '';
  const pid = decimal(text.slice(0, open - 1));
  const parent = decimal(fields[FIELD.parent]);
  // 0 in foreign pid namespaces, -1 for kernel threads of old kernels.
  const group = decimal(fields[FIELD.group]);
  const session = decimal(fields[FIELD.session]);
  const startTime = decimal(fields[FIELD.startTime]);
  if (!/^[A-Za-z]$/.test(state)) return undefined;
  if (pid === undefined || parent === undefined || startTime === undefined) return undefined;
  if (group === undefined || session === undefined) return undefined;
  return { pid, name: text.slice(open + 1, close), state, parent, group, session, startTime };
}

function decimal(text: string | undefined): number | undefined {
  if (text === undefined || !/^-?\d{1,20}$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** Reads /proc/PID/stat; undefined if there is no such process. */
export function readStat(pid: number): ProcessStat | undefined {
  return parseStat(readProc(`/proc/${pid}/stat`) ?? '');
}

/** Returns the start time of a process in clock ticks since boot; undefined if there is none. */
export function readStartTime(pid: number): number | undefined {
  return readStat(pid)?.startTime;
}

let knownBootId: string | undefined;

/** Returns the id of this boot (a UUID), random(4). */
export function bootId(): string {
  knownBootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return knownBootId;
}

/** Reads a file of /proc as latin1, which keeps every byte; undefined if its process has ended. */
export function readProc(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch (error) {
    // ESRCH: it ended between open and read.
    if (isErrno(error, 'ENOENT', 'ESRCH')) return undefined;
    throw error;
  }
}
