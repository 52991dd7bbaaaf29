/** execve(2): this process becomes another program. Node 20 has no call for it. */
import { clearCloseOnExec } from './fcntl.ts';
import { libcCall } from './libc.ts';

const STDIO = [0, 1, 2];

const execve = libcCall<
  [path: string, argv: readonly (string | null)[], envp: readonly (string | null)[]]
>('int execve(const char *, const char **, const char **)');

/**
 * Replaces the process: same pid, same stdin, stdout and stderr; every other descriptor of Node closes by
 * itself. Never returns. ENOENT, EACCES: there is no such program, or it may not be executed.
 */
export function becomeProgram(
  path: string,
  args: readonly string[],
  env: readonly string[],
): never {
  // Node closes terminals that it has opened as streams.
  for (const fd of STDIO) keepOnExec(fd);
  execve(path, [path, ...args, null], [...env, null]);
  throw new Error('execve(2) returned');
}

function keepOnExec(fd: number): void {
  try {
    clearCloseOnExec(fd);
  } catch {
    // EBADF: it was closed when we were started, and stays so.
  }
}
