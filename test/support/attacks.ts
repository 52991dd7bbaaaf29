/**
 * The attempts of test/security/attempts: their list, what a tenant's home needs for them, and how to have them made. What
 * an attempt is and when it has succeeded is told there, in attack.py.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { BOOKWORM } from './emperor.ts';
import { patienceMs } from './slowness.ts';
import { until } from './wait.ts';

const DIRECTORY = resolve(import.meta.dirname, '../security/attempts');
const ATTACKER = join(DIRECTORY, 'attacker.py');
/** Of the distro that vassals of these tests have; it has Python. */
export const DISTRO = realpathSync(join(BOOKWORM, 'bookworm'));
/** What neighbours and the host serve. */
export const PORT = 7077;

/** As attack.py notes it. */
export interface Attempt {
  readonly theme: string;
  /** What a tenant cannot do. */
  readonly what: string;
  readonly ids: readonly string[];
  /** What it may end with. */
  readonly answer: readonly string[];
  /** The words of protections that its control takes away; empty where there is none. */
  readonly without: readonly string[];
  /** What it may end with in its control. */
  readonly control: readonly string[];
  readonly because: string | null;
}

export interface Result {
  readonly what: string;
  /** `succeeded`, `nothing`, an errno, a signal, `hangs` or `broken`. */
  readonly outcome: string;
  readonly detail: string;
}

export const ATTEMPTS = JSON.parse(
  execFileSync('python3', ['-B', ATTACKER, 'list'], { encoding: 'utf8' }),
) as readonly Attempt[];

/** What attempts are told about where they are. */
export interface AttemptWorld {
  readonly home: string;
  readonly uid: number;
  readonly target: number;
  readonly host_pid: number;
  readonly port: number;
  /** For an answer of what is there, in seconds. */
  readonly patience: number;
  readonly secrets: readonly string[];
  readonly sockets: readonly string[];
  readonly logs: readonly string[];
}

export interface Setting {
  readonly attempts: readonly string[];
  readonly world: AttemptWorld;
  readonly control?: true;
  /** Whom to become in a control, once an attempt is prepared. */
  readonly uid?: number | null;
}

/**
 * Makes a tenant's home with the programs of the attempts, and with what somebody careless might have left in it for
 * them: programs with rights, devices, a file of root's.
 */
export function furnish(home: string, uid: number): void {
  mkdirSync(join(home, 'attempts'), { recursive: true });
  for (const name of readdirSync(DIRECTORY).filter((one) => one.endsWith('.py')))
    copyFileSync(join(DIRECTORY, name), join(home, 'attempts', name));
  for (const [name, source] of [
    ['root-id', 'id'],
    ['capable-cat', 'cat'],
  ] as const)
    copyFileSync(join(DISTRO, 'usr/bin', source), join(home, name));
  chmodSync(join(home, 'root-id'), 0o4755);
  execFileSync('python3', ['-c', CAPABLE, join(home, 'capable-cat')]);
  execFileSync('mknod', ['-m', '666', join(home, 'random'), 'c', '1', '8']);
  execFileSync('mknod', ['-m', '666', join(home, 'tun'), 'c', '10', '200']);
  writeFileSync(join(home, 'of-root'), 'root', { mode: 0o600 });
  writeFileSync(join(home, 'secret'), 'secret', { mode: 0o644 });
  for (const path of [home, join(home, 'secret')]) chownSync(path, uid, uid);
}

/** A file capability (CAP_NET_RAW), as linux/capability.h writes it. */
const CAPABLE = `import os, struct, sys
os.chmod(sys.argv[1], 0o755)
os.setxattr(sys.argv[1], "security.capability", struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0))`;

/** Puts a setting into a home, and returns the command line that has it tried in there. */
export function commandFor(
  { onHost, inside }: { readonly onHost: string; readonly inside: string },
  name: string,
  setting: Setting,
): readonly string[] {
  const timeout = patienceMs(10_000) / 1000;
  writeFileSync(join(onHost, `setting-${name}`), JSON.stringify({ ...setting, timeout }));
  const program = `${inside}/attempts/attacker.py`;
  const files = [`${inside}/setting-${name}`, `${inside}/results-${name}`];
  return ['/usr/bin/python3', '-B', program, 'run', ...files];
}

/** How each ended, by what it is called, once all have. */
export async function resultsOf(home: string, name: string): Promise<ReadonlyMap<string, Result>> {
  const file = join(home, `results-${name}`);
  await until(`the attempts of ${name} have been made`, () => existsSync(file), 120_000);
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  return new Map(lines.map((line) => JSON.parse(line) as Result).map((one) => [one.what, one]));
}

/** The command line of somebody who has what nobody else may touch, and says who did. */
export function victimCommand(
  home: string,
  { program, name, isHost = false }: { program: string; name: string; isHost?: boolean },
): readonly string[] {
  const files = [`${home}/ready`, `${home}/contacts`];
  const words = [program, name, ...files, String(PORT), ...(isHost ? ['host'] : [])];
  return ['/usr/bin/python3', '-B', ...words];
}

export const VICTIM = join(DIRECTORY, 'victim.py');

/** The pid that it says it has, once it is ready. */
export async function pidOfVictim(home: string): Promise<number> {
  await until('the victim is ready', () => existsSync(join(home, 'ready')), 30_000);
  return Number(readFileSync(join(home, 'ready'), 'utf8'));
}

/** `partly M25, F01`: which row of the catalogue, and which requirements, an attempt is about. */
export function titleOf({ what, ids }: Attempt): string {
  const words = ids.map((id) => (/^[MU]\d/.test(id) ? `partly ${id}` : id));
  return `${what} (${words.join(', ')})`;
}
