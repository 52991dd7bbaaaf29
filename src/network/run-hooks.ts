/** The operator's own lines for the host: run by the shell as root, one after the other. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Clock } from '../base/clock.ts';
import { EmperorError, isErrno, messageOf } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { SHELL_PATH } from '../base/run-tool.ts';

export interface HookOptions {
  /** Each line has that long. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** Gets what the lines say. */
  readonly log: Log;
  /** Which key they stand behind; `exec-as-root` if not said. */
  readonly option?: string;
  /** Stands beside each line in the log. */
  readonly about?: object;
  /** `$1` of each line. */
  readonly argument?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Nobody wants them any more: what runs is killed, and counts as failed. */
  readonly signal?: AbortSignal;
  /** For tests: what goes before `/bin/sh`. */
  readonly wrapper?: readonly string[];
}

/** What a line started and left running may hold its output open for ever. */
const LINGER_MS = 200;

/** Throws `exec-failed` for the first line that fails, or is not done in time; the further ones are not run. */
export async function runHooks(lines: readonly string[], options: HookOptions): Promise<void> {
  for (const line of lines) {
    const failure = await runHook(line, options);
    if (failure === null) continue;
    throw new EmperorError(
      'exec-failed',
      `Cannot run ${options.option ?? 'exec-as-root'} \`${line}\`: ${failure}`,
    );
  }
}

/** Returns why it failed, null if it did not. */
function runHook(line: string, options: HookOptions): Promise<string | null> {
  const { clock, log, timeoutMs, signal } = options;
  if (signal?.aborted) return Promise.resolve('not wanted any more');
  const [program = '', ...args] = [...(options.wrapper ?? []), '/bin/sh', '-c', line, 'hook'];
  if (options.argument !== undefined) args.push(options.argument);
  // A session of its own, so that all of it can be killed, and no terminal is asked.
  const child = spawn(program, args, {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: '/',
    env: { PATH: SHELL_PATH, HOME: '/root', SHELL: '/bin/sh', ...options.environment },
  });
  let last = '';
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (said) => {
      last = said;
      log.info({ ...options.about, hook: line }, said);
    });
  }
  return new Promise((resolve) => {
    let isLate = false;
    let failure: string | null = null;
    const cancelTimeout = clock.after(timeoutMs, () => {
      isLate = true;
      killGroup(child.pid);
    });
    const abort = () => killGroup(child.pid);
    signal?.addEventListener('abort', abort, { once: true });
    const finish = () => {
      cancelTimeout();
      signal?.removeEventListener('abort', abort);
      child.stdout.destroy();
      child.stderr.destroy();
      resolve(failure);
    };
    child.once('error', (error) => {
      failure = messageOf(error);
      finish();
    });
    child.once('exit', (code, signal) => {
      if (isLate) failure = `not done after ${timeoutMs / 1000} s`;
      else if (code !== 0) failure = code === null ? `killed by ${signal}` : `exit status ${code}`;
      const cancel = clock.after(LINGER_MS, finish);
      child.once('close', () => {
        cancel();
        if (failure !== null && !isLate && last !== '') failure += `: ${last}`;
        finish();
      });
    });
  });
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    // It ended just now.
    if (!isErrno(error, 'ESRCH')) throw error;
  }
}
