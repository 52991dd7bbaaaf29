/**
 * Limits as cgroup v2 names them, and what has to be written for them into the files of cgroup v2 or of v1's
 * controllers. Pure.
 */

export type Limit = number | 'max';

/** What one disk may be asked for, bytes and operations a second; what is not named is not limited. */
export interface IoMax {
  /** MAJOR:MINOR, a block device, or any path of the host: the disk that it lies on. */
  readonly device: string;
  readonly rbps?: number;
  readonly wbps?: number;
  readonly riops?: number;
  readonly wiops?: number;
}

/** Null, as `max`: none. An older emperor's record may lack all of it. */
export interface Limits {
  /** Bytes. */
  readonly memoryMax?: Limit | null;
  readonly memoryHigh?: Limit | null;
  readonly memorySwapMax?: Limit | null;
  /** Processors. */
  readonly cpuMax?: Limit | null;
  readonly cpuWeight?: number | null;
  /** Milliseconds of processor time; vassal/daily-cpu.ts makes a weight of it. */
  readonly dailyCpuMs?: Limit | null;
  readonly pidsMax?: Limit | null;
  /** No limit of cgroups, but as little to be had everywhere: equal pages are kept once. */
  readonly ksm?: boolean | null;
  readonly ioWeight?: number | null;
  readonly ioMax?: readonly IoMax[];
}

export type Controller = 'memory' | 'cpu' | 'pids' | 'io';

/** One file to write. */
export interface Setting {
  /** The key of a vassal file that it comes from. */
  readonly key: string;
  readonly controller: Controller;
  /** On v2: of the whole vassal, or of all in it but init. */
  readonly of: 'vassal' | 'payload';
  readonly file: string;
  readonly text: string;
  /** What a new cgroup has by itself. */
  readonly isDefault: boolean;
}

/** The kernel counts processor time by this, in µs. */
const PERIOD_US = 100_000;
const USUAL_WEIGHT = 100;
/** What weight 100 is in v1's cpu.shares, and the least and most that they can be. */
const SHARES = { usual: 1024, min: 2, max: 262_144 };
/** The most that v1 takes as the weight of a disk. */
const MAX_BFQ_WEIGHT = 1000;

const isLimit = (limit: Limit | null | undefined): limit is number => typeof limit === 'number';
const orElse = (limit: Limit | null | undefined, none: string) =>
  isLimit(limit) ? String(limit) : none;
const quotaUs = (processors: number) => Math.max(1000, Math.round(processors * PERIOD_US));

/** For cgroup v2. */
export function settingsOfV2(limits: Limits): readonly Setting[] {
  const { memoryMax, memoryHigh, memorySwapMax, cpuMax, cpuWeight, pidsMax, ioWeight } = limits;
  const payload = (key: string, controller: Controller, limit: Limit | null | undefined) => ({
    ...{ key, controller, of: 'payload' as const, file: key.replace('-', '.').replace('-', '.') },
    ...{ text: orElse(limit, 'max'), isDefault: !isLimit(limit) },
  });
  const weight = (key: string, controller: Controller, value: number | null | undefined) => ({
    ...{ key, controller, of: 'vassal' as const, file: key.replace('-', '.') },
    ...{ text: String(value ?? USUAL_WEIGHT), isDefault: (value ?? USUAL_WEIGHT) === USUAL_WEIGHT },
  });
  return [
    payload('memory-max', 'memory', memoryMax),
    payload('memory-high', 'memory', memoryHigh),
    payload('memory-swap-max', 'memory', memorySwapMax),
    {
      ...payload('cpu-max', 'cpu', cpuMax),
      text: `${isLimit(cpuMax) ? quotaUs(cpuMax) : 'max'} ${PERIOD_US}`,
    },
    weight('cpu-weight', 'cpu', cpuWeight),
    payload('pids-max', 'pids', pidsMax),
    weight('io-weight', 'io', ioWeight),
  ];
}

/** For the controllers of v1, where init shares a cgroup with what it starts. */
export function settingsOfV1(limits: Limits): readonly Setting[] {
  const { memoryMax, memoryHigh, memorySwapMax, cpuMax, cpuWeight, pidsMax, ioWeight } = limits;
  const setting = (key: string, controller: Controller, file: string, value: number | null) => ({
    ...{ key, controller, of: 'vassal' as const, file },
    ...{ text: String(value ?? -1), isDefault: value === null },
  });
  const swap = isLimit(memoryMax) && isLimit(memorySwapMax) ? memoryMax + memorySwapMax : null;
  const shares = Math.round(((cpuWeight ?? USUAL_WEIGHT) * SHARES.usual) / USUAL_WEIGHT);
  return [
    setting('memory-max', 'memory', 'memory.limit_in_bytes', numberOf(memoryMax)),
    // What waits in sockets is counted on its own, and only where that has a limit.
    setting('memory-max', 'memory', 'memory.kmem.tcp.limit_in_bytes', numberOf(memoryMax)),
    setting('memory-high', 'memory', 'memory.high', numberOf(memoryHigh)),
    {
      ...setting('memory-swap-max', 'memory', 'memory.memsw.limit_in_bytes', swap),
      isDefault: !isLimit(memorySwapMax),
    },
    setting('cpu-max', 'cpu', 'cpu.cfs_quota_us', isLimit(cpuMax) ? quotaUs(cpuMax) : null),
    {
      ...setting('cpu-weight', 'cpu', 'cpu.shares', clamp(shares, SHARES.min, SHARES.max)),
      isDefault: shares === SHARES.usual,
    },
    {
      ...setting('pids-max', 'pids', 'pids.max', null),
      ...{ text: isLimit(pidsMax) ? String(pidsMax + 1) : 'max', isDefault: !isLimit(pidsMax) },
    },
    {
      ...setting('io-weight', 'io', 'blkio.bfq.weight', ioWeight ?? USUAL_WEIGHT),
      text: String(Math.min(ioWeight ?? USUAL_WEIGHT, MAX_BFQ_WEIGHT)),
      isDefault: (ioWeight ?? USUAL_WEIGHT) === USUAL_WEIGHT,
    },
  ];
}

function numberOf(limit: Limit | null | undefined): number | null {
  return isLimit(limit) ? limit : null;
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, value));
}

const IO_KEYS = ['rbps', 'wbps', 'riops', 'wiops'] as const;

/** The lines of v2's io.max for a disk; without `limits` those that take its limits away. */
export function ioLineOfV2(device: string, limits?: IoMax): string {
  return `${device} ${IO_KEYS.map((key) => `${key}=${limits?.[key] ?? 'max'}`).join(' ')}`;
}

export const IO_FILES_OF_V1 = {
  rbps: 'blkio.throttle.read_bps_device',
  wbps: 'blkio.throttle.write_bps_device',
  riops: 'blkio.throttle.read_iops_device',
  wiops: 'blkio.throttle.write_iops_device',
} as const;

/** What v1 takes for a disk, file by file; 0 takes a limit away. */
export function ioLinesOfV1(device: string, limits?: IoMax): ReadonlyArray<[string, string]> {
  return IO_KEYS.map((key) => [IO_FILES_OF_V1[key], `${device} ${limits?.[key] ?? 0}`]);
}

/** As `status` shows them: the keys that are set, in bytes, seconds and numbers. */
export function shownLimits(limits: Limits): Readonly<Record<string, number | string>> {
  const { memoryMax, memoryHigh, memorySwapMax, cpuMax, cpuWeight, pidsMax, ioWeight } = limits;
  const shown = {
    'memory-max': numberOf(memoryMax),
    'memory-high': numberOf(memoryHigh),
    'memory-swap-max': numberOf(memorySwapMax),
    'cpu-max': numberOf(cpuMax),
    'cpu-weight': cpuWeight ?? null,
    'daily-cpu': isLimit(limits.dailyCpuMs) ? limits.dailyCpuMs / 1000 : null,
    'pids-max': numberOf(pidsMax),
    'io-weight': ioWeight ?? null,
    'io-max': (limits.ioMax ?? []).map((one) => ioLineOfV2(one.device, one)).join(', ') || null,
  };
  return Object.fromEntries(
    Object.entries(shown).filter((entry): entry is [string, number | string] => entry[1] !== null),
  );
}
