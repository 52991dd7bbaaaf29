/** What of the host no tenant may change, as it is now: for comparing it before and after an attack. */
import { readFileSync, statSync } from 'node:fs';
import { readProc } from '../../src/linux/proc.ts';
import type { TestEmperor } from './emperor.ts';
import { allPids } from './proc.ts';

/** What each thing is, in words. */
export type HostState = Readonly<Record<string, string>>;

const SYSCTLS = [
  ...['core_pattern', 'core_uses_pid', 'hostname', 'domainname', 'modprobe', 'panic', 'printk'],
  ...['randomize_va_space', 'kptr_restrict', 'dmesg_restrict', 'unprivileged_bpf_disabled'],
  ...['perf_event_paranoid', 'shmmax', 'msgmni', 'sem', 'pid_max', 'threads-max', 'sysrq'],
]
  .map((name) => `kernel/${name}`)
  .concat([
    ...['vm/overcommit_memory', 'vm/swappiness', 'vm/panic_on_oom', 'fs/file-max', 'fs/nr_open'],
    ...['fs/suid_dumpable', 'fs/protected_symlinks', 'fs/protected_hardlinks'],
    ...['fs/inotify/max_user_watches', 'user/max_user_namespaces'],
  ]);

const SMALL_BYTES = 4096;

export interface Watched {
  /** Pid of the host's canary, which has the attacker's uid. */
  readonly canary: number;
  readonly files: readonly string[];
  /** The attacker's. */
  readonly uid: number;
  readonly vassals: readonly string[];
}

export class HostOracle {
  readonly canaryPid: number;
  readonly #emperor: TestEmperor;
  readonly #watched: Watched;
  readonly #pids: Map<string, number>;

  constructor(emperor: TestEmperor, watched: Watched) {
    this.#emperor = emperor;
    this.#watched = watched;
    this.canaryPid = watched.canary;
    this.#pids = new Map([
      ['emperor', emperor.pid],
      ['canary', watched.canary],
    ]);
    for (const name of watched.vassals) this.watch(name);
  }

  /** Has the init of a vassal be one of the processes that are to live on. */
  watch(vassal: string): void {
    this.#pids.set(`init of ${vassal}`, this.#emperor.status(vassal).pid ?? 0);
  }

  state(): HostState {
    return Object.fromEntries([
      ...this.#watched.files.map((path) => [path, fileState(path)]),
      ...SYSCTLS.map((name) => [name, readProc(`/proc/sys/${name}`) ?? 'none']),
      ...[...this.#pids].map(([name, pid]) => [name, processState(pid)]),
      ['mounts', this.#mounts()],
      ['devices', this.#net('dev').replaceAll(/:.*/g, '')],
      ['routes', this.#net('route')],
      ['listeners', listenersIn(this.#net('tcp') + this.#net('tcp6'))],
      ['outside its vassal', this.#escaped().join(' ')],
    ]);
  }

  /** What is not the same in two states. */
  static changes(before: HostState, after: HostState): HostState {
    return Object.fromEntries(
      [...new Set([...Object.keys(before), ...Object.keys(after)])]
        .filter((name) => before[name] !== after[name])
        .map((name) => [name, `${before[name]} → ${after[name]}`]),
    );
  }

  /** As the emperor sees them. Other tests make and remove network namespaces, and mounts in directories of theirs. */
  #mounts(): string {
    const lines = (readProc(`/proc/${this.#emperor.pid}/mountinfo`) ?? '').split('\n');
    const isOfOthers = (line: string) =>
      line.includes(' - nsfs ') ||
      (/ \/(var\/)?tmp\/emperor-/.test(line) && !line.includes(` ${this.#emperor.directory}`));
    return lines.filter((line) => !isOfOthers(line)).join('\n');
  }

  #net(file: string): string {
    return readProc(`/proc/${this.#emperor.pid}/net/${file}`) ?? '';
  }

  /** Processes with the attacker's uid that are in no cgroup of its vassal. */
  #escaped(): readonly number[] {
    return allPids().filter((pid) => {
      if (pid === this.canaryPid) return false;
      // Its directory in /proc is its owner's; one that has ended meanwhile has no owner.
      const stat = statSync(`/proc/${pid}`, { throwIfNoEntry: false });
      if (stat?.uid !== this.#watched.uid) return false;
      const cgroups = readProc(`/proc/${pid}/cgroup`) ?? '';
      return cgroups !== '' && !cgroups.includes(this.#emperor.cgroupParent);
    });
  }
}

/** Of small ones the content, too; whoever writes to another changes its ctime. */
function fileState(path: string): string {
  const stat = statSync(path);
  const { ino, mode, uid, gid, nlink, size, mtimeMs, ctimeMs } = stat;
  const content = stat.isFile() && size < SMALL_BYTES ? readFileSync(path, 'utf8') : '';
  return [ino, mode, uid, gid, nlink, size, mtimeMs, ctimeMs, content].join(' ');
}

/** Its start tells it from another of the same number. */
function processState(pid: number): string {
  const stat = readProc(`/proc/${pid}/stat`) ?? '';
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || stat === '' ? 'ended' : `started at ${fields[19]}`;
}

function listenersIn(tcp: string): string {
  return [...tcp.matchAll(/^ *\d+: (\S+) \S+ 0A /gm)].map(([, address]) => address).join(' ');
}
