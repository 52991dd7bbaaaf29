/**
 * Is this tree a usable root file system? Looked at from outside and without following a symlink, since
 * what it points to would be the host's. `judgeRoot` is the short look before a start, `inspectDistro` the
 * whole walk behind `emperor distro verify`.
 *
 * An error is what keeps vassals from running or lets somebody reach them through the tree: a missing mount
 * point, a foreign owner, a FIFO (a read-only mount does not keep two vassals from talking through it). A
 * notice is what the jail makes harmless or does without: setuid files under nosuid, devices under nodev.
 */
import { lstatSync, readdirSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../base/errors.ts';
import { ETC_FILES, type EtcFile } from '../jail/plan.ts';
import { type OsRelease, readOsRelease } from './os-release.ts';

/** Directories that every jail plan mounts something on, with the mode a new one gets. */
export const MOUNT_POINTS: readonly (readonly [path: string, mode: number])[] = [
  ['dev', 0o755],
  ['proc', 0o555],
  ['sys', 0o555],
  ['tmp', 0o1777],
  ['run', 0o755],
  ['home', 0o755],
  ['opt', 0o755],
  ['var/tmp', 0o1777],
  ['var/log', 0o755],
];

/** Owners below this are the tree's own system accounts; from here on they are people of the host. */
const FIRST_HUMAN_UID = 1000;
const NOBODY_UID = 65534;

export interface DistroProblem {
  readonly severity: 'error' | 'notice';
  readonly path: string;
  readonly message: string;
  /** What to do, as a command where there is one. */
  readonly fix: string;
}

export interface DistroReport {
  readonly path: string;
  readonly osRelease: OsRelease | null;
  /** No problem is an error. */
  readonly isUsable: boolean;
  readonly problems: readonly DistroProblem[];
  /** Which files of /etc a vassal's own can cover. */
  readonly etcFiles: readonly EtcFile[];
  readonly missingEtcFiles: readonly EtcFile[];
  readonly hasShell: boolean;
  readonly hasBash: boolean;
  /** Paths inside the tree; empty where only the root was looked at. */
  readonly setuidFiles: readonly string[];
}

/** Looks at the top directories only: enough to know whether a start can succeed. */
export function judgeRoot(root: string): DistroReport {
  const top = statOf(root);
  if (!top) return refuse(root, `there is no directory ${root}`, 'emperor distro add NAME');
  if (top.isSymbolicLink()) {
    return refuse(
      root,
      `${root} is a symlink`,
      'name the directory itself in `distros`, or move it',
    );
  }
  if (!top.isDirectory()) return refuse(root, `${root} is not a directory`, `rm ${root}`);
  const etcFiles = ETC_FILES.filter((name) => statOf(join(root, 'etc', name))?.isFile());
  return reportOf({
    path: root,
    osRelease: readOsRelease(root),
    problems: [
      ...ownershipProblems(root, top),
      ...['etc', 'var', ...MOUNT_POINTS.map(([path]) => path)].flatMap((path) =>
        directoryProblems(root, path),
      ),
      ...etcProblems(root),
      ...shellProblems(root),
    ],
    etcFiles,
    missingEtcFiles: ETC_FILES.filter((name) => !statOf(join(root, 'etc', name))),
    hasShell: isThere(root, 'bin/sh'),
    hasBash: isThere(root, 'bin/bash'),
    setuidFiles: [],
  });
}

/** Walks the whole tree. Takes a fraction of a second for a minimal Debian. */
export function inspectDistro(root: string): DistroReport {
  const report = judgeRoot(root);
  const top = statOf(root);
  if (!top?.isDirectory()) return report;
  const found: Findings = { problems: [...report.problems], setuidFiles: [] };
  walk(root, { directory: '', device: top.dev }, found);
  return reportOf({ ...report, ...found });
}

type Unjudged = Omit<DistroReport, 'isUsable'>;

function reportOf(report: Unjudged): DistroReport {
  return { ...report, isUsable: !report.problems.some(({ severity }) => severity === 'error') };
}

function refuse(path: string, message: string, fix: string): DistroReport {
  return {
    path,
    osRelease: null,
    isUsable: false,
    problems: [{ severity: 'error', path, message, fix }],
    etcFiles: [],
    missingEtcFiles: [],
    hasShell: false,
    hasBash: false,
    setuidFiles: [],
  };
}

function ownershipProblems(path: string, stat: Stats): readonly DistroProblem[] {
  if (stat.uid === 0 && (stat.mode & 0o022) === 0) return [];
  const message = `${path} is not root's alone: whoever can write there can change every vassal`;
  return [{ severity: 'error', path, message, fix: `chown root: ${path} && chmod go-w ${path}` }];
}

function directoryProblems(root: string, name: string): readonly DistroProblem[] {
  const path = join(root, name);
  const stat = statOf(path);
  const error = (message: string, fix: string): readonly DistroProblem[] => [
    { severity: 'error', path, message, fix },
  ];
  if (!stat) return error(`it lacks the directory /${name}`, `mkdir ${path}`);
  if (stat.isSymbolicLink()) {
    return error(`/${name} is a symlink, and must be a directory`, `rm ${path} && mkdir ${path}`);
  }
  if (!stat.isDirectory()) {
    return error(`/${name} is not a directory`, `rm ${path} && mkdir ${path}`);
  }
  return stat.uid === 0 ? [] : error(`/${name} is not root's`, `chown root: ${path}`);
}

function etcProblems(root: string): readonly DistroProblem[] {
  return ETC_FILES.flatMap((name): readonly DistroProblem[] => {
    const path = join(root, 'etc', name);
    const stat = statOf(path);
    if (stat?.isFile()) return [];
    const state = stat ? 'is not a regular file' : 'is not there';
    const message = `/etc/${name} ${state}, so vassals do not get theirs`;
    return [{ severity: 'notice', path, message, fix: `rm -f ${path} && touch ${path}` }];
  });
}

function shellProblems(root: string): readonly DistroProblem[] {
  if (isThere(root, 'bin/sh')) return [];
  const path = join(root, 'bin/sh');
  const message = 'it has no /bin/sh, so `emperor shell` and cron jobs cannot run';
  return [{ severity: 'notice', path, message, fix: 'install a shell in the tree' }];
}

interface Findings {
  readonly problems: DistroProblem[];
  readonly setuidFiles: string[];
}

/** Below these the vassal has mounts of its own; what the tree holds there is never seen. */
const COVERED = new Set(MOUNT_POINTS.map(([path]) => path));

function walk(
  root: string,
  at: { readonly directory: string; readonly device: number },
  found: Findings,
): void {
  for (const name of readdirSync(join(root, at.directory))) {
    const inside = join(at.directory, name);
    const stat = statOf(join(root, inside));
    if (!stat) continue;
    if (stat.dev !== at.device) {
      found.problems.push(mountedProblem(root, inside));
      continue;
    }
    if (COVERED.has(inside)) continue;
    if (stat.isFile() && (stat.mode & 0o6000) !== 0) found.setuidFiles.push(`/${inside}`);
    found.problems.push(...entryProblems({ path: join(root, inside), inside, stat }));
    if (stat.isDirectory()) walk(root, { ...at, directory: inside }, found);
  }
}

function mountedProblem(root: string, inside: string): DistroProblem {
  const path = join(root, inside);
  const message = `something is mounted at /${inside}; vassals will not see it`;
  return { severity: 'notice', path, message, fix: `umount ${path}` };
}

interface Entry {
  readonly path: string;
  readonly inside: string;
  readonly stat: Stats;
}

function entryProblems({ path, inside, stat }: Entry): readonly DistroProblem[] {
  if (stat.isFIFO() || stat.isSocket()) {
    const kind = stat.isFIFO() ? 'FIFO' : 'socket';
    const message = `/${inside} is a ${kind}: vassals could talk to each other or to the host through it`;
    return [{ severity: 'error', path, message, fix: `rm ${path}` }];
  }
  if (stat.isCharacterDevice() || stat.isBlockDevice()) {
    const message = `/${inside} is a device; vassals cannot open it (nodev)`;
    return [{ severity: 'notice', path, message, fix: `rm ${path}` }];
  }
  return [...foreignProblems({ path, inside, stat }), ...writableProblems({ path, inside, stat })];
}

function foreignProblems({ path, inside, stat }: Entry): readonly DistroProblem[] {
  if (stat.uid < FIRST_HUMAN_UID || stat.uid === NOBODY_UID) return [];
  const message = `/${inside} belongs to uid ${stat.uid}, who can change it for every vassal`;
  return [{ severity: 'error', path, message, fix: `chown -h root: ${path}` }];
}

function writableProblems({ path, inside, stat }: Entry): readonly DistroProblem[] {
  if (stat.isSymbolicLink() || (stat.mode & 0o002) === 0) return [];
  if (stat.isDirectory() && (stat.mode & 0o1000) !== 0) return [];
  const message = `/${inside} is writable by every user of the host`;
  return [{ severity: 'error', path, message, fix: `chmod o-w ${path}` }];
}

function isThere(root: string, path: string): boolean {
  return statOf(join(root, path)) !== undefined;
}

function statOf(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}
