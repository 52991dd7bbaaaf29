/**
 * Becoming the C program that speaks to a vassal's init: for `exec` and `shell`. No byte passes through
 * Node, and signals, terminal and exit status are the program's own.
 */
import { readEnvironment } from '../base/environment.ts';
import { EmperorError, isErrno } from '../base/errors.ts';
import type { ExecTarget, ProcessKind } from '../emperor/governor.ts';
import { becomeProgram } from '../linux/execve.ts';

/** Whatever fails before the command runs, as docker and podman have it. */
export const EXIT_OURS = 125;
/** What the caller's terminal is; a vassal knows nothing else of the caller's environment. */
const TERMINAL_VARIABLES = ['TERM', 'COLORTERM'];
const PROGRAM_ENVIRONMENT = ['PATH=/usr/sbin:/usr/bin:/sbin:/bin'];

export interface Attachment {
  readonly label: string;
  readonly kind: ProcessKind;
  readonly hasTty: boolean;
  readonly command: readonly string[];
}

/** Never returns. Throws `not-permitted`, or what execve(2) says. */
export function attach(target: ExecTarget, attachment: Attachment): never {
  const env = attachment.hasTty ? [...target.env, ...terminalEnvironment()] : target.env;
  const args = attachArguments({ ...target, env }, attachment);
  try {
    return becomeProgram(target.program, args, PROGRAM_ENVIRONMENT);
  } catch (cause) {
    if (!isErrno(cause, 'EACCES')) throw cause;
    const message = 'Cannot enter a vassal: only root can; use sudo';
    throw new EmperorError('not-permitted', message, { cause });
  }
}

/** The command line of the C program's `attach` mode. Pure. */
export function attachArguments(target: ExecTarget, attachment: Attachment): readonly string[] {
  const { label, kind, hasTty, command } = attachment;
  return [
    'attach',
    target.socket,
    target.cwd,
    ...['--label', label, '--kind', kind],
    ...(hasTty ? ['--tty'] : []),
    ...target.env.flatMap((pair) => ['--env', pair]),
    '--',
    ...command,
  ];
}

function terminalEnvironment(): readonly string[] {
  return TERMINAL_VARIABLES.flatMap((name) => {
    const value = readEnvironment(name);
    return value === undefined ? [] : [`${name}=${value}`];
  });
}
