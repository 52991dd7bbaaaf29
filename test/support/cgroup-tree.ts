/** A cgroup parent of the test's own: what it starts is below it, so that it can be counted and ended. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../../src/base/errors.ts';
import {
  controllerMounts,
  type MembershipMount,
  membershipMount,
} from '../../src/cgroup/membership-mount.ts';
import { until } from './wait.ts';

export interface CgroupTree {
  readonly mount: MembershipMount;
  /** Absolute. */
  readonly path: string;
  /** Below the mount, as `cgroup-parent` in emperor.ini wants it. */
  readonly parent: string;
  directories(): readonly string[];
  pids(): readonly number[];
  /** Ends every process in it and removes it. */
  close(): Promise<void>;
}

/** Where this machine has the hierarchy of `kind`; without it, the one that decides membership. */
export function mountOf(kind?: MembershipMount['kind']): MembershipMount {
  const mount = findMount(kind);
  if (!mount) throw new Error(`this machine has no cgroup ${kind ?? 'v2, nor the freezer of v1'}`);
  return mount;
}

/** Tests of a hierarchy that this machine has not are skipped, and named in test/skips.txt. */
export function hasCgroups(kind: MembershipMount['kind']): boolean {
  return findMount(kind) !== undefined;
}

function findMount(kind?: MembershipMount['kind']): MembershipMount | undefined {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  // A machine of v1 alone would show no cgroup2.
  const shown = lines.filter((line) => kind !== 'v1' || !line.includes(' - cgroup2 '));
  const mount = membershipMount(shown.join('\n'));
  return kind === undefined || mount?.kind === kind ? mount : undefined;
}

/** Makes `name` in the hierarchy of `kind`, or in that which decides membership. */
export function makeCgroupTree(name: string, kind?: MembershipMount['kind']): CgroupTree {
  const mount = mountOf(kind);
  const path = join(mount.path, name);
  mkdirSync(path);
  const directories = () => descendants(path);
  const pids = () => [path, ...directories()].flatMap(pidsOf);
  return {
    mount,
    path,
    parent: name,
    directories,
    pids,
    async close() {
      await until(`${path} is empty`, () => {
        // A frozen process cannot die on v1.
        for (const one of [...directories()].reverse()) thaw(one);
        for (const pid of pids()) kill(pid);
        return pids().length === 0;
      });
      for (const one of [...directories()].reverse()) rmdirSync(one);
      // An emperor that stopped everything has removed it.
      if (existsSync(path)) rmdirSync(path);
      removeOfControllers(name);
    },
  };
}

/** Where this machine has v1's controllers. */
export function controllersOfMachine(): ReadonlyMap<string, string> {
  const mounts = controllerMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
  return new Map([...mounts].map(([name, { path }]) => [name, path]));
}

/** Removes what an emperor of that cgroup-parent has left in the hierarchies of v1's controllers. */
export function removeOfControllers(parent: string): void {
  for (const path of controllersOfMachine().values()) {
    const all = [join(path, parent), ...descendants(join(path, parent))];
    for (const one of all.reverse()) if (existsSync(one)) rmdirSync(one);
  }
}

/** Parents before children. */
function descendants(path: string): readonly string[] {
  return list(path).flatMap((name) => [join(path, name), ...descendants(join(path, name))]);
}

function list(path: string): readonly string[] {
  try {
    const entries = readdirSync(path, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

function pidsOf(path: string): readonly number[] {
  try {
    const text = readFileSync(join(path, 'cgroup.procs'), 'utf8');
    return text.split('\n').filter(Boolean).map(Number);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENODEV')) return [];
    throw error;
  }
}

function thaw(path: string): void {
  for (const [file, text] of [
    ['cgroup.freeze', '0'],
    ['freezer.state', 'THAWED'],
  ] as const) {
    try {
      writeFileSync(join(path, file), text, { flag: 'r+' });
    } catch (error) {
      if (!isErrno(error, 'ENOENT', 'ENODEV')) throw error;
    }
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!isErrno(error, 'ESRCH')) throw error;
  }
}
