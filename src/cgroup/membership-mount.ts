/**
 * Where the hierarchy is mounted that decides membership: cgroup v2, also beside v1 controllers, else v1's
 * freezer. `ip netns exec` and the like hide /sys/fs/cgroup from what they run; then it is mounted again, with
 * the options it has, since a mount of cgroup2 sets them for the whole machine (cgroups(7)).
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { EmperorError } from '../base/errors.ts';
import { mountKernelFileSystem } from '../linux/mount.ts';

export interface MembershipMount {
  readonly kind: 'v2' | 'v1';
  readonly path: string;
  /** Of the file system, such as `nsdelegate`. */
  readonly options: string;
}

/**
 * Returns the mount that this process sees; where it sees none, one it makes at `directory`/cgroup.
 * Throws `not-supported` where the machine has none.
 */
export function provideMembershipMount(directory: string): MembershipMount {
  const own = membershipMount(readFileSync('/proc/self/mountinfo', 'utf8'));
  if (own) return own;
  const machine = membershipMount(readFileSync('/proc/1/mountinfo', 'utf8'));
  if (!machine) {
    throw new EmperorError(
      'not-supported',
      'Cannot keep account of processes: neither cgroup2 nor the v1 freezer is mounted; mount one, ' +
        'for example `mount -t cgroup2 none /sys/fs/cgroup`',
    );
  }
  const path = join(directory, 'cgroup');
  mkdirSync(path, { recursive: true });
  const { kind, options } = machine;
  mountKernelFileSystem({ type: kind === 'v2' ? 'cgroup2' : 'cgroup', target: path, options });
  return { kind, path, options };
}

/** Finds the mount in the text of a /proc/PID/mountinfo. Pure. */
export function membershipMount(mountinfo: string): MembershipMount | undefined {
  let freezer: MembershipMount | undefined;
  for (const { type, path, options } of mountsIn(mountinfo)) {
    if (type === 'cgroup2') return { kind: 'v2', path, options };
    if (type === 'cgroup' && options.split(',').includes('freezer')) {
      freezer = { kind: 'v1', path, options };
    }
  }
  return freezer;
}

const V1_CONTROLLERS = ['memory', 'cpu', 'cpuacct', 'pids', 'blkio'];

/** As provideMembershipMount(), for v1's controllers: controller → where it is mounted; empty on a machine of v2. */
export function provideControllerMounts(directory: string): ReadonlyMap<string, string> {
  const own = controllerMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
  if (own.size > 0) return new Map([...own].map(([name, { path }]) => [name, path]));
  const machine = controllerMounts(readFileSync('/proc/1/mountinfo', 'utf8'));
  const made = new Map<string, string>();
  return new Map(
    [...machine].map(([name, { options }]) => {
      const path = made.get(options) ?? join(directory, `cgroup-${name}`);
      if (!made.has(options)) {
        mkdirSync(path, { recursive: true });
        mountKernelFileSystem({ type: 'cgroup', target: path, options });
        made.set(options, path);
      }
      return [name, path];
    }),
  );
}

/** Finds the mounts of v1's controllers in the text of a /proc/PID/mountinfo. Pure. */
export function controllerMounts(
  mountinfo: string,
): ReadonlyMap<string, { readonly path: string; readonly options: string }> {
  const found = new Map<string, { path: string; options: string }>();
  for (const { type, path, options } of mountsIn(mountinfo)) {
    if (type !== 'cgroup') continue;
    for (const name of options.split(',')) {
      if (V1_CONTROLLERS.includes(name) && !found.has(name)) found.set(name, { path, options });
    }
  }
  return found;
}

interface Mount {
  readonly type: string;
  readonly path: string;
  /** Of the file system. */
  readonly options: string;
}

function mountsIn(mountinfo: string): readonly Mount[] {
  return mountinfo.split('\n').flatMap((line) => {
    const [before, after] = line.split(' - ');
    const path = before?.split(' ')[4];
    const [type = '', , all = ''] = after?.split(' ') ?? [];
    return path ? [{ type, path, options: all.replace(/^r[ow],?/, '') }] : [];
  });
}
