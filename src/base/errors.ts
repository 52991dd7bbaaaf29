/**
 * The one table of error codes: what a failure is called, how a process ends because of it and what
 * HTTP says. An operator's failure is an EmperorError; a bug is a plain Error and ends the process.
 */

/** code → exit status of the CLI and HTTP status of the API. */
export const ERRORS = {
  'bad-usage': { exit: 2, http: 400 },
  'bad-config': { exit: 78, http: 422 },
  'no-such-vassal': { exit: 4, http: 404 },
  'no-such-route': { exit: 1, http: 404 },
  'no-such-distro': { exit: 1, http: 404 },
  'not-reachable': { exit: 69, http: 503 },
  'already-running': { exit: 75, http: 409 },
  'not-permitted': { exit: 77, http: 403 },
  conflict: { exit: 1, http: 409 },
  'in-use': { exit: 1, http: 409 },
  'jail-failed': { exit: 1, http: 500 },
  'start-failed': { exit: 1, http: 409 },
  'bad-distro': { exit: 1, http: 422 },
  'exec-failed': { exit: 1, http: 500 },
  timeout: { exit: 124, http: 504 },
  'system-call': { exit: 1, http: 500 },
  'not-supported': { exit: 1, http: 501 },
} as const;

export type ErrorCode = keyof typeof ERRORS;

/** One finding about a configuration text; positions count from 1, 0 means "the whole file". */
export interface Diagnostic {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly severity: 'error' | 'warning';
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  /** The offending line, for the caret. */
  readonly text?: string;
}

/** A failure an operator can act upon: `Cannot <verb> <what>: <state>`. */
export class EmperorError extends Error {
  readonly code: ErrorCode;
  readonly diagnostics: readonly Diagnostic[];

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; diagnostics?: readonly Diagnostic[] } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'EmperorError';
    this.code = code;
    this.diagnostics = options.diagnostics ?? [];
  }
}

/** Tells whether `error` is a failed system call, Node's or our own (linux/errno.ts). */
export function isSystemError(
  error: unknown,
): error is NodeJS.ErrnoException & { readonly code: string } {
  if (!(error instanceof Error)) return false;
  const { code, syscall }: NodeJS.ErrnoException = error;
  return typeof code === 'string' && syscall !== undefined;
}

/**
 * Tells whether `error` is a failed system call with that errno name, such as `ENOENT`. Node names no call
 * where a connection broke off (`socket hang up`), so the name alone counts.
 */
export function isErrno(error: unknown, ...names: readonly string[]): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && names.includes(code);
}

/** The text of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
