/**
 * Makes sure that a launcher runs: connects to the one that listens, else installs the C program where
 * only root can change it and starts it as a daemon of its own, which outlives us.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { NATIVE } from '../base/checkout.ts';
import { type Clock, delay, systemClock } from '../base/clock.ts';
import { EmperorError, isErrno, messageOf } from '../base/errors.ts';
import { LauncherClient } from './launcher-client.ts';

export interface LauncherSetting {
  /** Holds launcher.sock. */
  readonly runDirectory: string;
  /** Gets bin/HASH/emperor-init. */
  readonly stateDirectory: string;
  /** Gets launcher.log. */
  readonly logDirectory: string;
  /** Directories whose mounts the launcher must keep: distros, homes, run, state and log directory. */
  readonly keep: readonly string[];
  readonly nativeDirectory?: string;
  readonly clock?: Clock;
  /** Put before the command, such as `nsenter --net=PATH`; for tests. */
  readonly wrapper?: readonly string[];
}

export interface RunningLauncher {
  readonly client: LauncherClient;
  /** The installed C program, for `attach`. */
  readonly program: string;
}

const START_TIMEOUT_MS = 5000;
const POLL_MS = 5;
/** EX_TEMPFAIL: another launcher holds the lock. */
const EXIT_ALREADY_RUNNING = 75;

/** Connects to the launcher of the run directory; starts one if there is none. */
export async function startLauncher(setting: LauncherSetting): Promise<RunningLauncher> {
  const program = installProgram(setting);
  const socket = join(setting.runDirectory, 'launcher.sock');
  const running = await connectIfThere(socket);
  return { client: running ?? (await spawnLauncher(setting, { program, socket })), program };
}

/**
 * Copies the C program to state-dir/bin/HASH/emperor-init, unless it is there, and returns that path. A
 * running binary cannot be overwritten, and a checkout does not belong to root. Mode 0711: who cannot read
 * a program cannot trace a process that runs it.
 */
export function installProgram(setting: {
  readonly stateDirectory: string;
  readonly nativeDirectory?: string;
}): string {
  const content = readProgram(join(setting.nativeDirectory ?? NATIVE, 'emperor-init'));
  const hash = createHash('sha256').update(content).digest('hex').slice(0, 16);
  const directory = join(setting.stateDirectory, 'bin', hash);
  const program = join(directory, 'emperor-init');
  if (!hasContent(program, content)) {
    mkdirSync(directory, { recursive: true, mode: 0o711 });
    writeProgram(program, content);
  }
  return program;
}

function readProgram(source: string): Buffer {
  try {
    return readFileSync(source);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
    const message = `Cannot start the launcher: ${source} is missing; run \`npm run build\``;
    throw new EmperorError('not-supported', message, { cause: error });
  }
}

function hasContent(path: string, content: Buffer): boolean {
  try {
    return readFileSync(path).equals(content);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

function writeProgram(path: string, content: Buffer): void {
  const temporary = `${path}.${process.pid}`;
  rmSync(temporary, { force: true });
  const file = openSync(temporary, 'wx', 0o700);
  try {
    writeSync(file, content);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  chownSync(temporary, 0, 0);
  chmodSync(temporary, 0o711);
  renameSync(temporary, path);
}

/** A launcher that is just dying still accepts, so only one that answers is there. */
async function connectIfThere(socket: string): Promise<LauncherClient | null> {
  let client: LauncherClient | null = null;
  try {
    client = await LauncherClient.connect(socket);
    await client.hello({ subscribe: false });
    return client;
  } catch (error) {
    client?.close();
    if (isGone(error)) return null;
    throw error;
  }
}

/** ECONNREFUSED: a launcher that died left its socket. No errno: it closed the connection. */
function isGone(error: unknown): boolean {
  if (!(error instanceof EmperorError) || error.code !== 'not-reachable') return false;
  return (
    error.cause === null || isErrno(error.cause, 'ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE')
  );
}

async function spawnLauncher(
  setting: LauncherSetting,
  { program, socket }: { readonly program: string; readonly socket: string },
): Promise<LauncherClient> {
  const clock = setting.clock ?? systemClock;
  const log = join(setting.logDirectory, 'launcher.log');
  const command = [...(setting.wrapper ?? []), program, 'launcher', socket, ...setting.keep];
  let ended = watchEnd(spawnDaemon(command, log));
  const deadline = clock.monotonic() + START_TIMEOUT_MS;
  while (clock.monotonic() < deadline) {
    const client = await connectIfThere(socket);
    if (client) return client;
    const end = ended();
    // The one that holds the lock may be about to listen, or about to end.
    if (end === EXIT_ALREADY_RUNNING) ended = watchEnd(spawnDaemon(command, log));
    else if (end !== null) {
      throw new EmperorError('system-call', `Cannot start the launcher: ${end}; see ${log}`);
    }
    await delay(clock, POLL_MS);
  }
  throw new EmperorError(
    'timeout',
    `Cannot reach the launcher: ${socket} accepts no connection after ${START_TIMEOUT_MS} ms; see ${log}`,
  );
}

/** Starts it in a session of its own, with nothing of ours but the log. */
function spawnDaemon([file = '', ...args]: readonly string[], log: string): ChildProcess {
  const output = openSync(log, 'a', 0o600);
  try {
    const child = spawn(file, args, {
      cwd: '/',
      detached: true,
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      stdio: ['ignore', output, output],
    });
    child.unref();
    return child;
  } finally {
    closeSync(output);
  }
}

/** Returns what tells how the child ended: null while it runs, a status, or words. */
function watchEnd(child: ChildProcess): () => number | string | null {
  let end: number | string | null = null;
  child.once('error', (error) => {
    end = messageOf(error);
  });
  child.once('exit', (code, signal) => {
    if (code === EXIT_ALREADY_RUNNING) end = code;
    else end = signal === null ? `it ended with status ${code}` : `it ended by ${signal}`;
  });
  return () => end;
}
