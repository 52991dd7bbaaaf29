/**
 * The limits of vassals, and what they use: the controllers of cgroup v2, or of v1 where they are mounted so (also
 * beside a v2 that has none: hybrid).
 *
 * On v2 the membership's own cgroups carry the limits: `payload` has them, so that init, in a leaf of its own, is
 * neither starved nor killed for what its tenant does. On v1 each controller has a cgroup for each vassal, and init
 * joins them so that whatever it starts is born there.
 *
 * A limit that this machine cannot keep is told, never silently dropped.
 */
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  readSync,
  realpathSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { isErrno, messageOf } from '../base/errors.ts';
import { drainEventfd, openEventfd } from '../linux/eventfd.ts';
import type { Poller } from '../linux/poller.ts';
import {
  type Controller,
  IO_FILES_OF_V1,
  ioLineOfV2,
  ioLinesOfV1,
  type Limits,
  type Setting,
  settingsOfV1,
  settingsOfV2,
  shownLimits,
} from './limits.ts';
import {
  type Cgroups,
  directoryOf,
  joinFile,
  makeBelow,
  makeDirectory,
  readIfThere,
  removeDirectory,
} from './membership.ts';
import type { MembershipMount } from './membership-mount.ts';

/** A limit that is not kept, and why. */
export interface Unmet {
  /** The key of a vassal file. */
  readonly key: string;
  readonly reason: string;
  /** It may be kept later, when less is used. */
  readonly isPassing?: true;
}

type Failure = Omit<Unmet, 'key'>;

export interface Usage {
  readonly memoryBytes: number | null;
  readonly cpuSeconds: number | null;
  readonly pids: number | null;
}

export interface Controllers {
  /** Which there are. */
  readonly available: ReadonlySet<Controller>;
  /**
   * Makes what a vassal needs, once its membership is there, and sets its limits before anything runs in it. Returns
   * the files by which init has to join it, and what its tenant is shown.
   */
  create(
    name: string,
    limits: Limits,
  ): Pick<Cgroups, 'joins' | 'views'> & { readonly unmet: readonly Unmet[] };
  /** Sets all limits of a vassal that runs. */
  apply(name: string, limits: Limits): readonly Unmet[];
  usage(name: string): Usage;
  /** The processor time of its usage alone, which costs one file. */
  cpuSeconds(name: string): number | null;
  /** How often it has met its limits. */
  counts(name: string): AlarmCounts;
  /**
   * Calls `onAlarm` when the kernel kills for memory in it, or refuses it another process: at most once in
   * ALARM_INTERVAL_MS. Returns what ends it. One that cannot be watched is not.
   */
  watch(name: string, host: AlarmHost, onAlarm: () => void): () => void;
  /** Removes what create() made; false while it is still busy. */
  remove(name: string): boolean;
  /** Removes what stands above all vassals, unless it is in use. */
  dissolve(): void;
}

export interface AlarmHost {
  readonly poller: Pick<Poller, 'watch'>;
  readonly clock: Pick<Clock, 'after'>;
}

/** Since the cgroup was made. */
export interface AlarmCounts {
  /** Processes that the kernel has killed for memory. */
  readonly kills: number;
  /** Processes that were refused by `pids-max`. */
  readonly refusals: number;
}

/** A flood of alarms costs no more than this. */
const ALARM_INTERVAL_MS = 1000;
/** Where the kernel does not tell. */
const LOOK_INTERVAL_MS = 5000;

/** Of `memory-max`: the kernel itself goes a little beyond it. */
const TOLERATED_SHARE = 1.1;

/** More than an init needs. */
const INIT_RESERVE_BYTES = 1024 * 1024;

/** Where programs look for their limits. */
const SHOWN_AT = '/sys/fs/cgroup';
/** What v1 shows there, in directories of these names. */
const SHOWN: readonly string[] = ['memory', 'cpu', 'cpuacct', 'pids'];

const ALL: readonly Controller[] = ['memory', 'cpu', 'pids', 'io'];

export function openControllers(options: {
  readonly membership: MembershipMount;
  /** Where v1's controllers are mounted. */
  readonly v1: ReadonlyMap<string, string>;
  /** A path below each mount. */
  readonly parent: string;
}): Controllers {
  const { membership, v1, parent } = options;
  const root = join(membership.path, parent);
  const own = membership.kind === 'v2' ? enableAll(membership.path, parent) : new Set<Controller>();
  const isHybrid = [...v1.keys()].some((name) => ALL.includes(controllerOf(name)));
  return own.size > 0 || !isHybrid
    ? v2Controllers(root, own)
    : v1Controllers(v1, membership, parent);
}

/** `blkio` is what v1 calls `io`. */
function controllerOf(name: string): Controller {
  return (name === 'blkio' ? 'io' : name) as Controller;
}

// ── cgroup v2 ──────────────────────────────────────────────────────────────────────────────────

/** Lets the cgroups below `parent` have controllers, all the way down; returns which those are. */
function enableAll(mount: string, parent: string): ReadonlySet<Controller> {
  const parts = parent.split('/');
  const enabled = parts.map((_, depth) => enable(join(mount, ...parts.slice(0, depth))));
  enabled.push(enable(join(mount, parent)));
  return new Set(ALL.filter((controller) => enabled.every((there) => there.has(controller))));
}

/** One by one: where one cannot be had, the others can. */
function enable(directory: string): ReadonlySet<Controller> {
  const file = join(directory, 'cgroup.subtree_control');
  const offered = readIfThere(join(directory, 'cgroup.controllers')).trim().split(' ');
  const isEnabled = (controller: Controller) =>
    offered.includes(controller) &&
    attempt(() => writeFileSync(file, `+${controller}`, { flag: 'r+' })) === null;
  return new Set(ALL.filter(isEnabled));
}

function v2Controllers(root: string, available: ReadonlySet<Controller>): Controllers {
  const place = (name: string, leaf: string) =>
    join(root, directoryOf(name), ...(leaf === 'payload' ? [leaf] : []));
  const all = [...available].map((controller) => `+${controller}`).join(' ');
  const give = (name: string) => {
    if (all === '') return;
    writeFileSync(join(place(name, ''), 'cgroup.subtree_control'), all, { flag: 'r+' });
  };
  const write = (name: string, settings: readonly Setting[], limits: Limits) => [
    ...writeSettings(settings, {
      available,
      fileOf: ({ of, file }) => join(place(name, of), file),
    }),
    ...writeIo(limits, available, (device, one) => {
      writeFileSync(join(place(name, 'payload'), 'io.max'), ioLineOfV2(device, one));
    }),
  ];
  const cpuSeconds = (name: string) => cpuSecondsOfV2(place(name, ''));
  /** Each cgroup above has what those below it have together: the kernel protects no more than that. */
  const known = new Set<string>();
  const reserve = () => writeReserve(root, known.size);
  const reserveFor = (name: string) => {
    if (known.has(name) || !available.has('memory')) return;
    known.add(name);
    for (const leaf of ['', 'init']) writeReserve(join(place(name, ''), leaf), 1);
    reserve();
  };
  return {
    available,
    create(name, limits) {
      give(name);
      reserveFor(name);
      return {
        joins: [],
        views: all === '' ? [] : [{ source: place(name, 'payload'), target: SHOWN_AT }],
        unmet: write(name, settingsOfV2(limits).filter(isSet), limits),
      };
    },
    apply(name, limits) {
      // An emperor that kept no limits may have started it.
      attempt(() => give(name));
      reserveFor(name);
      forgetIo(join(place(name, 'payload'), 'io.max'), (file, device) =>
        writeFileSync(file, ioLineOfV2(device)),
      );
      return write(name, settingsOfV2(limits), limits);
    },
    cpuSeconds,
    usage: (name) => ({
      memoryBytes: numberIn(join(place(name, 'payload'), 'memory.current')),
      cpuSeconds: cpuSeconds(name),
      pids: numberIn(join(place(name, 'payload'), 'pids.current')),
    }),
    counts: (name) => ({
      kills: countIn(join(place(name, 'payload'), 'memory.events'), 'oom_kill'),
      refusals: countIn(join(place(name, 'payload'), 'pids.events'), 'max'),
    }),
    watch(name, host, onAlarm) {
      const payload = place(name, 'payload');
      const onMemory = () => {
        keepMemoryMax(payload);
        onAlarm();
      };
      return endAll([
        watchEvents(join(payload, 'memory.events'), host, onMemory),
        watchEvents(join(payload, 'pids.events'), host, onAlarm),
      ]);
    },
    remove(name) {
      if (known.delete(name)) reserve();
      return true;
    },
    dissolve() {},
  };
}

/** Keeps memory of `count` inits from being reclaimed for others; where the kernel cannot, they are small. */
function writeReserve(directory: string, count: number): void {
  const bytes = String(count * INIT_RESERVE_BYTES);
  attempt(() => writeFileSync(join(directory, 'memory.min'), bytes, { flag: 'r+' }));
}

/**
 * Has the limit kept where far more is used: datagrams that come in are charged beyond it (Linux 6.1), and nobody is killed
 * for that before it asks for more. When a limit is set, the kernel reclaims, then kills, until it is kept.
 */
function keepMemoryMax(directory: string): void {
  const file = join(directory, 'memory.max');
  const limit = numberIn(file);
  const used = numberIn(join(directory, 'memory.current'));
  if (limit === null || used === null || used <= TOLERATED_SHARE * limit) return;
  attempt(() => writeFileSync(file, String(limit), { flag: 'r+' }));
}

function cpuSecondsOfV2(directory: string): number | null {
  const [, us] = /^usage_usec (\d+)$/m.exec(readIfThere(join(directory, 'cpu.stat'))) ?? [];
  return us === undefined ? null : Number(us) / 1e6;
}

// ── cgroup v1 ──────────────────────────────────────────────────────────────────────────────────

function v1Controllers(
  mounts: ReadonlyMap<string, string>,
  membership: MembershipMount,
  parent: string,
): Controllers {
  // Of one mount with several controllers there is one cgroup.
  const roots = new Map(
    [...mounts].map(([name, mount]) => [name, makeBelow(mount, parent)] as const),
  );
  const directories = [...new Set(roots.values())];
  const available = new Set([...roots.keys()].map(controllerOf).filter((one) => ALL.includes(one)));
  const place = (controller: string, name: string, file: string) =>
    join(roots.get(controller === 'io' ? 'blkio' : controller) ?? '', directoryOf(name), file);
  const write = (name: string, limits: Limits) => [
    ...writeSettings(inWritableOrder(settingsOfV1(limits), place('memory', name, '')), {
      available,
      fileOf: ({ controller, file }) => place(controller, name, file),
    }),
    ...writeIo(limits, available, (device, one) => {
      for (const [file, line] of ioLinesOfV1(device, one)) {
        if (!line.endsWith(' 0')) writeFileSync(place('io', name, file), line);
      }
    }),
    ...unmetSwap(limits),
  ];
  const cpuSeconds = (name: string) =>
    membership.kind === 'v2'
      ? cpuSecondsOfV2(join(membership.path, parent, directoryOf(name)))
      : scaled(numberIn(place('cpuacct', name, 'cpuacct.usage')), 1e-9);
  return {
    available,
    create(name, limits) {
      const own = directories.map((directory) => join(directory, directoryOf(name)));
      for (const directory of own) makeDirectory(directory);
      const hasAny = settingsOfV1(limits).some(isSet) || (limits.ioMax ?? []).length > 0;
      return {
        joins: own.map((directory) => joinFile('v1', directory)),
        views: SHOWN.filter((controller) => roots.has(controller)).map((controller) => ({
          source: place(controller, name, ''),
          target: join(SHOWN_AT, controller),
        })),
        unmet: hasAny ? write(name, limits) : [],
      };
    },
    apply(name, limits) {
      const isLimited = directories.some((one) => existsSync(join(one, directoryOf(name))));
      if (!isLimited) return Object.keys(shownLimits(limits)).map(startedWithout);
      for (const file of Object.values(IO_FILES_OF_V1)) {
        forgetIo(place('io', name, file), (path, device) => writeFileSync(path, `${device} 0`));
      }
      return write(name, limits);
    },
    cpuSeconds,
    usage: (name) => ({
      memoryBytes: numberIn(place('memory', name, 'memory.usage_in_bytes')),
      cpuSeconds: cpuSeconds(name),
      pids: scaled(numberIn(place('pids', name, 'pids.current')), 1, -1),
    }),
    counts: (name) => ({
      kills: countIn(place('memory', name, 'memory.oom_control'), 'oom_kill'),
      refusals: countIn(place('pids', name, 'pids.events'), 'max'),
    }),
    watch: (name, host, onAlarm) =>
      endAll([
        watchOom(place('memory', name, 'memory.oom_control'), host, onAlarm),
        lookAgain(place('pids', name, 'pids.events'), host, onAlarm),
      ]),
    remove: (name) =>
      directories.every((directory) => removeDirectory(join(directory, directoryOf(name)))),
    dissolve() {
      for (const directory of directories) removeDirectory(directory);
    },
  };
}

/** What runs is not moved: that would wait for the whole machine, and what it has allocated would stay outside. */
function startedWithout(key: string): Unmet {
  return { key, reason: 'an emperor that kept no limits started it; restart it' };
}

/** Memory with swap is never less than memory: it is raised before it, and lowered behind it. */
function inWritableOrder(settings: readonly Setting[], directory: string): readonly Setting[] {
  const isSwap = ({ key }: Setting) => key === 'memory-swap-max';
  const swap = settings.filter(isSwap);
  const others = settings.filter((setting) => !isSwap(setting));
  const before = numberIn(join(directory, 'memory.memsw.limit_in_bytes')) ?? 0;
  const after = Number(swap[0]?.text ?? -1);
  return after < 0 || after > before ? [...swap, ...others] : [...others, ...swap];
}

function unmetSwap({ memoryMax, memorySwapMax }: Limits): readonly Unmet[] {
  if (typeof memorySwapMax !== 'number' || typeof memoryMax === 'number') return [];
  return [{ key: 'memory-swap-max', reason: 'cgroup v1 keeps it only together with `memory-max`' }];
}

// ── alarms ─────────────────────────────────────────────────────────────────────────────────────

/** A file whose change can be waited for (kernfs_notify): after it, what was waited by must be read. */
function watchEvents(file: string, host: AlarmHost, tell: () => void): () => void {
  const fd = openIfThere(file, 'r');
  if (fd === null) return () => {};
  const read = Buffer.alloc(512);
  return watchAgain(fd, 'priority', host, {
    settle: () => void readSync(fd, read, 0, read.length, 0),
    tell,
  });
}

/** v1 tells by an eventfd when memory has run out (memory.txt of the kernel's documentation, section 9). */
function watchOom(file: string, host: AlarmHost, tell: () => void): () => void {
  const control = openIfThere(file, 'r');
  if (control === null) return () => {};
  const fd = openEventfd();
  const failure = attempt(() =>
    writeFileSync(join(dirname(file), 'cgroup.event_control'), `${fd} ${control}`),
  );
  closeSync(control);
  if (failure === null) {
    return watchAgain(fd, 'readable', host, { settle: () => drainEventfd(fd), tell });
  }
  closeSync(fd);
  return () => {};
}

/** v1 tells of no process that was refused: its count is looked at now and then. */
function lookAgain(file: string, { clock }: AlarmHost, tell: () => void): () => void {
  let cancel = () => {};
  let before = readIfThere(file);
  const look = () => {
    const now = readIfThere(file);
    const isNew = now !== before;
    before = now;
    cancel = clock.after(LOOK_INTERVAL_MS, look);
    if (isNew) tell();
  };
  cancel = clock.after(LOOK_INTERVAL_MS, look);
  return () => cancel();
}

function watchAgain(
  fd: number,
  interest: 'readable' | 'priority',
  { poller, clock }: AlarmHost,
  { settle, tell }: { readonly settle: () => void; readonly tell: () => void },
): () => void {
  let cancel = () => {};
  // Who is told may end the watching: what comes next is armed before.
  const arm = () => {
    // A cgroup that is gone cannot be read: nothing more will come.
    if (attempt(settle) !== null) return;
    cancel = poller.watch(fd, interest, () => {
      cancel = clock.after(ALARM_INTERVAL_MS, () => {
        arm();
        tell();
      });
      tell();
    });
  };
  arm();
  return () => {
    cancel();
    closeSync(fd);
  };
}

function endAll(ends: readonly (() => void)[]): () => void {
  return () => {
    for (const end of ends) end();
  };
}

function openIfThere(file: string, flags: string): number | null {
  try {
    return openSync(file, flags);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return null;
    throw error;
  }
}

// ── both ───────────────────────────────────────────────────────────────────────────────────────

const isSet = ({ isDefault }: Setting) => !isDefault;

/** What is by itself as it should be need not be there; what is set, must. */
function writeSettings(
  settings: readonly Setting[],
  where: { readonly available: ReadonlySet<string>; readonly fileOf: (setting: Setting) => string },
): readonly Unmet[] {
  return settings.flatMap((setting) => {
    const failure = where.available.has(setting.controller)
      ? attempt(() => writeFileSync(where.fileOf(setting), setting.text, { flag: 'r+' }))
      : { reason: `the ${setting.controller} controller of cgroups is not there` };
    return failure === null || setting.isDefault ? [] : [{ key: setting.key, ...failure }];
  });
}

function writeIo(
  { ioMax = [] }: Limits,
  available: ReadonlySet<string>,
  write: (device: string, one: NonNullable<Limits['ioMax']>[number]) => void,
): readonly Unmet[] {
  return ioMax.flatMap((one) => {
    const failure = available.has('io')
      ? attempt(() => write(diskOf(one.device), one))
      : { reason: 'the io controller of cgroups is not there' };
    return failure ? [{ key: 'io-max', reason: `${one.device}: ${failure.reason}` }] : [];
  });
}

/** Calls back for each disk that a file of limits names. */
function forgetIo(file: string, forget: (file: string, device: string) => void): void {
  for (const [device] of readIfThere(file).matchAll(/^\d+:\d+/gm))
    attempt(() => forget(file, device));
}

const MAJOR_MINOR = /^\d+:\d+$/;

/** The whole disk, as MAJOR:MINOR, that a path is or lies on; limits take no partitions. */
function diskOf(device: string): string {
  if (MAJOR_MINOR.test(device)) return device;
  const { dev, rdev, mode } = statSync(device, { bigint: true });
  const isBlock = (mode & 0o170000n) === 0o060000n;
  const number = majorMinor(isBlock ? rdev : dev);
  const entry = realpathSync(`/sys/dev/block/${number}`);
  try {
    statSync(join(entry, 'partition'));
  } catch {
    return number;
  }
  return readFileSync(join(dirname(entry), 'dev'), 'utf8').trim() || basename(entry);
}

/** gnu_dev_major(3) and gnu_dev_minor(3). */
function majorMinor(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn);
  return `${major}:${minor}`;
}

/** Returns why it failed, for a person; null if it did not. */
function attempt(action: () => void): Failure | null {
  try {
    action();
    return null;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return { reason: 'this machine cannot limit it' };
    if (isErrno(error, 'EBUSY')) {
      return { reason: 'it uses more than that already', isPassing: true };
    }
    return { reason: messageOf(error) };
  }
}

function numberIn(file: string): number | null {
  const text = readIfThere(file).trim();
  return /^\d+$/.test(text) ? Number(text) : null;
}

function countIn(file: string, key: string): number {
  const [, count] = new RegExp(`^${key} (\\d+)$`, 'm').exec(readIfThere(file)) ?? [];
  return Number(count ?? 0);
}

function scaled(value: number | null, factor: number, offset = 0): number | null {
  return value === null ? null : Math.max(0, value * factor + offset);
}
