/**
 * What a jail plan needs to know of a distro, looked at once for each state of its root directory and /etc:
 * which generated files can cover one that is there, and which shell it has. A tree that no jail can be made
 * of is refused here, with the fix, before anything is started.
 */
import { lstatSync, readFileSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { EmperorError, isErrno } from '../base/errors.ts';
import { ETC_FILES, type EtcFile } from '../jail/plan.ts';

export interface Facts {
  readonly etcFiles: readonly EtcFile[];
  readonly hasBash: boolean;
}

/** Mount points that every jail plan uses. */
export const MOUNT_POINTS = ['dev', 'proc', 'tmp', 'run', 'home', 'etc', 'var/tmp', 'var/log'];

export class DistroFacts {
  readonly #known = new Map<string, { readonly signature: string; readonly facts: Facts }>();

  /** Throws `bad-distro` naming the path and the fix. */
  of(name: string, root: string): Facts {
    const signature = signatureOf(name, root);
    const known = this.#known.get(root);
    if (known?.signature === signature) return known.facts;
    const problem = problemsOf(root)[0];
    if (problem) throw new EmperorError('bad-distro', `Cannot use distro ${name}: ${problem}`);
    const facts = { etcFiles: etcFilesOf(root), hasBash: isThere(join(root, 'bin/bash')) };
    this.#known.set(root, { signature, facts });
    return facts;
  }

  describe(name: string, root: string) {
    return { name, path: root, prettyName: prettyNameOf(root), problems: problemsOf(root) };
  }
}

function signatureOf(name: string, root: string): string {
  const stats = [statOf(root), statOf(join(root, 'etc')), statOf(join(root, 'var'))];
  if (!stats[0]) {
    throw new EmperorError(
      'bad-distro',
      `Cannot use distro ${name}: there is no directory ${root}; make it with \`emperor distro add ${name}\``,
    );
  }
  return stats.map((stat) => `${stat?.dev}:${stat?.ino}:${stat?.ctimeMs}`).join(' ');
}

/** What keeps a tree from being a root file system; empty for a good one. */
function problemsOf(root: string): readonly string[] {
  const top = statOf(root);
  if (!top?.isDirectory()) return [`${root} is not a directory`];
  const isOpen = top.uid !== 0 || (top.mode & 0o022) !== 0;
  return [
    ...(isOpen ? [`${root} is not root's alone; \`chown root: ${root}; chmod go-w ${root}\``] : []),
    ...MOUNT_POINTS.flatMap((point) => mountPointProblem(join(root, point))),
  ];
}

function mountPointProblem(path: string): readonly string[] {
  const stat = statOf(path);
  if (!stat) return [`it lacks the directory ${path}; \`mkdir ${path}\``];
  if (stat.isSymbolicLink()) return [`${path} is a symlink, and must be a directory`];
  return stat.isDirectory() ? [] : [`${path} is not a directory`];
}

function etcFilesOf(root: string): readonly EtcFile[] {
  return ETC_FILES.filter((name) => statOf(join(root, 'etc', name))?.isFile());
}

function prettyNameOf(root: string): string | null {
  try {
    const text = readFileSync(join(root, 'usr/lib/os-release'), 'utf8');
    return /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(text)?.[1] ?? null;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return null;
    throw error;
  }
}

function isThere(path: string): boolean {
  return statOf(path) !== undefined;
}

function statOf(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}
