/** The distros of a machine: listing, checking and removing them. `emperor distro ls, verify, rm`. */
import { readdirSync, readFileSync, realpathSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { EmperorError, isErrno } from '../base/errors.ts';
import { removeTree } from './build.ts';
import { type DistroReport, inspectDistro, judgeRoot } from './inspect.ts';
import { distroPath, isDistroName } from './names.ts';

export interface ListedDistro extends DistroReport {
  readonly name: string;
}

/** Returns every distro by name, with the short look's verdict; none where there is no such directory. */
export function listDistros(directory: string): readonly ListedDistro[] {
  return directoriesIn(directory)
    .filter(isDistroName)
    .sort()
    .map((name) => ({ name, ...judgeRoot(join(directory, name)) }));
}

/** Walks the distro. Throws `no-such-distro`. */
export function verifyDistro(directory: string, name: string): ListedDistro {
  return { name, ...inspectDistro(requireDistro(directory, name)) };
}

export interface RemovalRequest {
  readonly directory: string;
  readonly name: string;
  /** Vassals whose configuration names it; the caller knows them. */
  readonly usedBy?: readonly string[];
}

/**
 * Removes a distro that nobody uses: no vassal names it, no process has it as its root, nothing is mounted
 * in it. It is renamed away first, so that no vassal starts in a tree that is half gone.
 * Throws `no-such-distro`, `in-use`.
 */
export async function removeDistro({
  directory,
  name,
  usedBy = [],
}: RemovalRequest): Promise<void> {
  const path = requireDistro(directory, name);
  const refuse = (why: string) =>
    new EmperorError('in-use', `Cannot remove distro ${name}: ${why}`);
  if (usedBy.length > 0) throw refuse(`it is the distro of ${summarize(usedBy)}`);
  const mounts = mountsBelow(realpathSync(path));
  if (mounts.length > 0) throw refuse(`something is mounted at ${summarize(mounts)}; umount it`);
  const aside = join(directory, `.${name}.removed`);
  await removeTree(aside);
  renameSync(path, aside);
  const pids = processesRootedAt(aside);
  if (pids.length > 0) {
    renameSync(aside, path);
    throw refuse(`it is the root directory of process ${summarize(pids)}`);
  }
  await removeTree(aside);
}

function requireDistro(directory: string, name: string): string {
  const path = distroPath(directory, name);
  if (directoriesIn(directory).includes(name)) return path;
  throw new EmperorError(
    'no-such-distro',
    `Cannot find distro ${name}: there is no directory ${path}`,
  );
}

function directoriesIn(path: string): readonly string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

function summarize(names: readonly (string | number)[]): string {
  const shown = names.slice(0, 3).join(', ');
  return names.length > 3 ? `${shown} and ${names.length - 3} more` : shown;
}

/** Mount points of this mount namespace below a directory; spaces and such are octal in mountinfo (proc(5)). */
function mountsBelow(path: string): readonly string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) =>
      (line.split(' ')[4] ?? '').replaceAll(/\\([0-7]{3})/g, (_, code) => fromOctal(code)),
    )
    .filter((target) => target === path || target.startsWith(`${path}/`));
}

function fromOctal(code: string): string {
  return String.fromCharCode(Number.parseInt(code, 8));
}

/** A bind mount keeps device and inode, so a vassal's root directory is known by them in any namespace. */
function processesRootedAt(path: string): readonly number[] {
  const { dev, ino } = statSync(path);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const root = statSync(`/proc/${pid}/root/`);
        return root.dev === dev && root.ino === ino;
      } catch (error) {
        if (isErrno(error, 'ENOENT', 'EACCES', 'ESRCH')) return false;
        throw error;
      }
    })
    .map(Number);
}
