import { expect, test } from 'vitest';
import { membershipMount } from '../../../src/cgroup/membership-mount.ts';

const line = (path: string, rest: string) => `25 1 0:22 / ${path} rw,relatime shared:9 - ${rest}`;
const FREEZER = line('/sys/fs/cgroup/freezer', 'cgroup cgroup rw,freezer');
const MEMORY = line('/sys/fs/cgroup/memory', 'cgroup cgroup rw,memory');

test('membershipMount() takes cgroup v2, also beside v1 controllers', () => {
  const unified = line('/sys/fs/cgroup/unified', 'cgroup2 cgroup2 rw,nsdelegate');
  expect(membershipMount([MEMORY, FREEZER, unified].join('\n'))).toEqual({
    kind: 'v2',
    path: '/sys/fs/cgroup/unified',
    options: 'nsdelegate',
  });
});

test("membershipMount() takes v1's freezer where there is no v2", () => {
  expect(membershipMount([MEMORY, FREEZER, ''].join('\n'))).toEqual({
    kind: 'v1',
    path: '/sys/fs/cgroup/freezer',
    options: 'freezer',
  });
});

test('membershipMount() finds nothing where neither is mounted', () => {
  expect(membershipMount(MEMORY)).toBeUndefined();
});
