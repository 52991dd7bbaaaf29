/** How the CLI ends. The one home of process.exit; who can end by returning does. */
import { EmperorError, ERRORS, isSystemError } from '../base/errors.ts';

/** Statuses of interfaces.md that are no error's (those stand in base/errors.ts). */
export const EXIT = { done: 0, no: 1, usage: 2, notRunning: 3, bug: 70, interrupted: 130 } as const;

export function leave(status: number): never {
  process.exit(status);
}

/** The status for anything thrown that is an operator's failure; undefined for a bug. */
export function statusOfError(error: unknown): number | undefined {
  if (error instanceof EmperorError) return ERRORS[error.code].exit;
  return isSystemError(error) ? ERRORS['system-call'].exit : undefined;
}
