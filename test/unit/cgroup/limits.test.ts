import { describe, expect, test } from 'vitest';
import {
  ioLineOfV2,
  ioLinesOfV1,
  type Limits,
  type Setting,
  settingsOfV1,
  settingsOfV2,
  shownLimits,
} from '../../../src/cgroup/limits.ts';

const ALL: Limits = {
  memoryMax: 64 << 20,
  memoryHigh: 48 << 20,
  memorySwapMax: 0,
  cpuMax: 1.5,
  cpuWeight: 200,
  pidsMax: 50,
  ioWeight: 50,
};

const written = (settings: readonly Setting[]) =>
  Object.fromEntries(settings.map(({ of, file, text }) => [`${of}/${file}`, text]));

describe('cgroup v2', () => {
  test('takes limits for all but init, and weights for the vassal as a whole', () => {
    expect(written(settingsOfV2(ALL))).toEqual({
      'payload/memory.max': '67108864',
      'payload/memory.high': '50331648',
      'payload/memory.swap.max': '0',
      'payload/cpu.max': '150000 100000',
      'vassal/cpu.weight': '200',
      'payload/pids.max': '50',
      'vassal/io.weight': '50',
    });
  });

  test('is told of no limit by what a new cgroup says', () => {
    const none = settingsOfV2({ memoryMax: 'max', pidsMax: null });
    expect(none.every(({ isDefault }) => isDefault)).toBe(true);
    expect(written(none)).toMatchObject({
      'payload/memory.max': 'max',
      'payload/cpu.max': 'max 100000',
      'vassal/cpu.weight': '100',
    });
  });
});

describe('cgroup v1', () => {
  test('has other names, counts init among the processes, and swap on top of memory', () => {
    expect(written(settingsOfV1({ ...ALL, memorySwapMax: 16 << 20 }))).toEqual({
      'vassal/memory.limit_in_bytes': '67108864',
      'vassal/memory.kmem.tcp.limit_in_bytes': '67108864',
      'vassal/memory.high': '50331648',
      'vassal/memory.memsw.limit_in_bytes': String(80 << 20),
      'vassal/cpu.cfs_quota_us': '150000',
      'vassal/cpu.shares': '2048',
      'vassal/pids.max': '51',
      'vassal/blkio.bfq.weight': '50',
    });
  });

  test('is told of no limit by what a new cgroup says', () => {
    const none = settingsOfV1({});
    expect(none.every(({ isDefault }) => isDefault)).toBe(true);
    expect(written(none)).toMatchObject({
      'vassal/memory.limit_in_bytes': '-1',
      'vassal/cpu.cfs_quota_us': '-1',
      'vassal/cpu.shares': '1024',
      'vassal/pids.max': 'max',
    });
  });
});

test('a share of processors is never less than the kernel takes', () => {
  expect(written(settingsOfV2({ cpuMax: 0.01 }))).toMatchObject({
    'payload/cpu.max': '1000 100000',
  });
});

test('what a disk may be asked for is said by v2 in one line, by v1 in four, and taken away by the same', () => {
  const limits = { device: '/srv', rbps: 1000, wiops: 5 };
  expect(ioLineOfV2('8:0', limits)).toBe('8:0 rbps=1000 wbps=max riops=max wiops=5');
  expect(ioLineOfV2('8:0')).toBe('8:0 rbps=max wbps=max riops=max wiops=max');
  expect(ioLinesOfV1('8:0', limits)).toEqual([
    ['blkio.throttle.read_bps_device', '8:0 1000'],
    ['blkio.throttle.write_bps_device', '8:0 0'],
    ['blkio.throttle.read_iops_device', '8:0 0'],
    ['blkio.throttle.write_iops_device', '8:0 5'],
  ]);
});

test('status shows the limits that are set, in bytes and numbers', () => {
  expect(shownLimits({})).toEqual({});
  expect(shownLimits({ ...ALL, cpuWeight: null, ioMax: [{ device: '8:0', rbps: 9 }] })).toEqual({
    'memory-max': 67108864,
    'memory-high': 50331648,
    'memory-swap-max': 0,
    'cpu-max': 1.5,
    'pids-max': 50,
    'io-weight': 50,
    'io-max': '8:0 rbps=9 wbps=max riops=max wiops=max',
  });
});
