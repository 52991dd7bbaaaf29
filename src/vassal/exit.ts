/** How a process ended, from the status word of waitpid(2). Pure. */
import { constants } from 'node:os';

export interface ProcessExit {
  readonly code: number | null;
  readonly signal: string | null;
  readonly reason: 'exit' | 'signal' | 'oom' | 'killed';
}

const SIGNAL_NAMES = new Map(
  Object.entries(constants.signals).map(([name, number]) => [number, name]),
);

/** Reads WIFEXITED, WEXITSTATUS and WTERMSIG out of `status`. */
export function exitOf(status: number): ProcessExit {
  const signal = status & 0x7f;
  if (signal === 0) return { code: (status >> 8) & 0xff, signal: null, reason: 'exit' };
  return { code: null, signal: signalName(signal), reason: signal === 9 ? 'killed' : 'signal' };
}

/** `SIGTERM` for 15; real-time signals as `SIG40`. */
export function signalName(number: number): string {
  return SIGNAL_NAMES.get(number) ?? `SIG${number}`;
}

/** `exit 1`, `SIGKILL (oom)`. */
export function exitText({ code, signal, reason }: ProcessExit): string {
  if (signal === null) return `exit ${code ?? 0}`;
  return reason === 'signal' ? signal : `${signal} (${reason})`;
}
