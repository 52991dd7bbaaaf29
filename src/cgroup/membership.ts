/**
 * Which processes belong to a vassal: one cgroup each, with the leaves `init` (PID 1, never frozen) and
 * `payload` (all it starts). One hierarchy is enough for membership: cgroup v2 where it is mounted (also
 * beside v1 controllers), else v1's freezer. Limits are another matter and other controllers.
 *
 * Every call is a few system calls on cgroupfs, which no tenant can reach.
 */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../base/errors.ts';
import { readProc } from '../linux/proc.ts';
import type { MembershipMount } from './membership-mount.ts';

export interface Leaves {
  /** The files by which init and its children join; see joinFile(). */
  readonly initJoin: string;
  readonly payloadJoin: string;
}

/** Of its own cgroups: a directory that shows inside, read-only. */
export interface CgroupView {
  readonly source: string;
  /** Absolute; /sys/fs/cgroup or a directory in it. */
  readonly target: string;
}

/** All that a vassal's init joins, and what is shown of it inside. */
export interface Cgroups extends Leaves {
  /** Further files to join by, of v1's controllers: what init starts is born there. */
  readonly joins: readonly string[];
  readonly views: readonly CgroupView[];
}

export interface Membership {
  readonly kind: 'v2' | 'v1';
  /** Makes the cgroups of `name`; they may exist already. */
  create(name: string): Leaves;
  /** Tells whether any process is left; false for a cgroup that does not exist. */
  isPopulated(name: string): boolean;
  /** Sends SIGKILL to every process. Repeat until !isPopulated: on v1 forks can outrun one pass. */
  kill(name: string): void;
  setFrozen(name: string, frozen: boolean): void;
  isFrozen(name: string): boolean;
  /** Pids of the payload in the caller's numbering. */
  payloadPids(name: string): readonly number[];
  /** Removes the cgroups; false while they are still busy. */
  remove(name: string): boolean;
  /** Names that have a cgroup. */
  names(): readonly string[];
  /** Removes the parent of all, unless it is in use; nothing can be created after it. */
  dissolve(): void;
}

const LEAVES = ['init', 'payload'] as const;

/** Opens the hierarchy at `mount`; `parent` is a path below it. */
export function openMembership(options: {
  readonly mount: MembershipMount;
  readonly parent: string;
  readonly listDirectories: (path: string) => readonly string[];
}): Membership {
  const { mount, parent, listDirectories } = options;
  const root = makeBelow(mount.path, parent);
  const { kind } = mount;
  const driver = kind === 'v2' ? v2Driver : v1Driver;
  return { ...commonDriver(root, kind, listDirectories), ...driver(root), kind };
}

/**
 * What a process with one thread writes itself to. A write to cgroup.procs waits until the whole machine forks and ends
 * nothing (10 ms); v1 has a file for threads besides, for which the kernel does not.
 */
export function joinFile(kind: MembershipMount['kind'], cgroup: string): string {
  return join(cgroup, kind === 'v2' ? 'cgroup.procs' : 'tasks');
}

/**
 * Makes each directory of `path` below `mount`, and returns the last. One by one: where nothing is mounted any more,
 * Node's own `recursive` tries for ever.
 */
export function makeBelow(mount: string, path: string): string {
  return path.split('/').reduce((above, name) => {
    const directory = join(above, name);
    try {
      mkdirSync(directory);
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error;
    }
    return directory;
  }, mount);
}

/** What v1 puts beside cgroups; every other file of the kernel there has a dot in its name. */
const V1_FILES = ['tasks', 'notify_on_release', 'release_agent'];

/** A vassal may be called `cgroup.procs`; no name begins with `_`. */
export function directoryOf(name: string): string {
  return name.includes('.') || V1_FILES.includes(name) ? `_${name}` : name;
}

/** Tells by the kernel's word whether `pid` is in the leaf of vassal `name` for inits, below whichever parent. */
export function isInitOf(name: string, pid: number): boolean {
  const leaf = `/${directoryOf(name)}/init`;
  return (readProc(`/proc/${pid}/cgroup`) ?? '').split('\n').some((line) => line.endsWith(leaf));
}

function nameOf(directory: string): string {
  return directory.replace(/^_/, '');
}

function commonDriver(
  root: string,
  kind: MembershipMount['kind'],
  listDirectories: (path: string) => readonly string[],
) {
  const place = (name: string, ...rest: readonly string[]) =>
    join(root, directoryOf(name), ...rest);
  const joining = (name: string, leaf: string) => joinFile(kind, place(name, leaf));
  return {
    create(name: string): Leaves {
      for (const path of ['', ...LEAVES]) makeDirectory(place(name, path));
      return { initJoin: joining(name, 'init'), payloadJoin: joining(name, 'payload') };
    },
    payloadPids: (name: string) => readPids(place(name, 'payload', 'cgroup.procs')),
    remove(name: string): boolean {
      return [...LEAVES, ''].every((leaf) => removeDirectory(place(name, leaf)));
    },
    names: () => listDirectories(root).map(nameOf),
    dissolve: () => void removeDirectory(root),
  };
}

function v2Driver(root: string) {
  return {
    isPopulated: (name: string) =>
      /^populated 1$/m.test(readIfThere(join(root, directoryOf(name), 'cgroup.events'))),
    kill: (name: string) => writeIfThere(join(root, directoryOf(name), 'cgroup.kill'), '1'),
    setFrozen: (name: string, frozen: boolean) =>
      writeIfThere(join(root, directoryOf(name), 'payload', 'cgroup.freeze'), frozen ? '1' : '0'),
    isFrozen: (name: string) =>
      readIfThere(join(root, directoryOf(name), 'payload', 'cgroup.freeze')).trim() === '1',
  };
}

function v1Driver(root: string) {
  const state = (name: string) => join(root, directoryOf(name), 'payload', 'freezer.state');
  const pids = (name: string) =>
    LEAVES.flatMap((leaf) => readPids(join(root, directoryOf(name), leaf, 'cgroup.procs')));
  const setFrozen = (name: string, frozen: boolean) =>
    writeIfThere(state(name), frozen ? 'FROZEN' : 'THAWED');
  return {
    isPopulated: (name: string) => pids(name).length > 0,
    // Frozen processes cannot fork, so one pass reaches all of them; the signal takes effect on thaw.
    kill(name: string): void {
      setFrozen(name, true);
      for (const pid of pids(name)) killIfThere(pid);
      setFrozen(name, false);
    },
    setFrozen,
    isFrozen: (name: string) => /FROZEN|FREEZING/.test(readIfThere(state(name))),
  };
}

function readPids(file: string): readonly number[] {
  return readIfThere(file).split('\n').filter(Boolean).map(Number);
}

export function makeDirectory(path: string): void {
  try {
    mkdirSync(path);
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
  }
}

export function removeDirectory(path: string): boolean {
  try {
    rmdirSync(path);
  } catch (error) {
    if (isErrno(error, 'EBUSY')) return false;
    if (!isErrno(error, 'ENOENT')) throw error;
  }
  return true;
}

export function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    // ENODEV: the cgroup was removed between open and read.
    if (isErrno(error, 'ENOENT', 'ENODEV')) return '';
    throw error;
  }
}

function writeIfThere(file: string, text: string): void {
  try {
    writeFileSync(file, text, { flag: 'r+' });
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENODEV')) throw error;
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!isErrno(error, 'ESRCH')) throw error;
  }
}
