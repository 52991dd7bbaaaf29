/**
 * Runs the host's own tools: those of networks (ip, nft), in whatever network namespace we are in, and those of file
 * systems (e2fsprogs). They run with our rights, a fixed PATH and nothing else of our environment.
 */
import { execa } from 'execa';
import { EmperorError, isErrno, messageOf } from './errors.ts';

export interface RunOptions {
  readonly timeoutMs?: number;
  /** Exit statuses besides 0 that are no failure. */
  readonly accepted?: readonly number[];
  /** It goes on when we end, and when a terminal interrupts us. */
  readonly outlivesUs?: boolean;
}

/** Runs a program with `input` at its stdin, and returns what it says. Throws `exec-failed` or `not-supported`. */
export type Run = (
  command: readonly string[],
  input?: string,
  options?: RunOptions,
) => Promise<string>;

/** Most are done in milliseconds, unless the kernel holds a lock for long; the others say how long they may take. */
const TIMEOUT_MS = 30_000;
/** For what goes over a whole file system, or over all files of somebody. */
export const PATIENT: RunOptions = { timeoutMs: 24 * 3_600_000 };
/** Where the tools are, whatever the emperor's own PATH. */
export const SHELL_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** Nobody reads what it says any more once we are gone: that must not end it. */
const WITHOUT_READER = ['sh', '-c', 'trap "" PIPE; exec "$0" "$@"'];
/** Of sh. */
const NO_SUCH_PROGRAM = 127;
const PACKAGES: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  nft: 'nftables',
  'mkfs.ext4': 'e2fsprogs',
  e2fsck: 'e2fsprogs',
  resize2fs: 'e2fsprogs',
};

export const runTool: Run = async (command, input = '', options = {}) => {
  const { timeoutMs = TIMEOUT_MS, accepted = [], outlivesUs = false } = options;
  const [program = ''] = command;
  const [first = '', ...others] = outlivesUs ? [...WITHOUT_READER, ...command] : command;
  const ended = await execa(first, others, {
    input,
    reject: false,
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    stripFinalNewline: false,
    env: { PATH: SHELL_PATH, LC_ALL: 'C' },
    extendEnv: false,
    detached: outlivesUs,
  });
  const { failed, code, exitCode, stdout, stderr, shortMessage, timedOut } = ended;
  if (!failed || accepted.includes(exitCode ?? 0)) return stdout;
  const what = `Cannot run \`${command.join(' ')}\``;
  if (isErrno({ code }, 'ENOENT') || (outlivesUs && exitCode === NO_SUCH_PROGRAM)) {
    const fix = PACKAGES[program] ? `; \`apt-get install ${PACKAGES[program]}\`` : '';
    throw new EmperorError('not-supported', `${what}: there is no ${program}${fix}`);
  }
  const reason = timedOut ? `not done after ${timeoutMs / 1000} s` : firstLine(stderr);
  throw new EmperorError('exec-failed', `${what}: ${reason || shortMessage}`);
};

function firstLine(text: string): string {
  return text.trim().split('\n', 1)[0] ?? '';
}

/** Parses what a tool prints as JSON: `ip -j` prints nothing where there is nothing. */
export function parseToolJson(text: string): unknown {
  if (text.trim() === '') return [];
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new EmperorError('exec-failed', `Cannot read what a tool says: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
