import { describe, expect, test } from 'vitest';
import { launchFields, mountBits, namespaceBits, stepFields } from '../../../src/jail/encode.ts';
import { encodeFields, Fields } from '../../../src/jail/frames.ts';
import type { JailPlan, Step } from '../../../src/jail/plan.ts';
import { MOUNT, NAMESPACE, OP, TAG } from '../../../src/jail/wire.ts';
import { ONE_OF_EACH } from '../../support/steps.ts';

function tagsOf(step: Step): readonly string[] {
  const nameOf = (tag: number) => Object.entries(TAG).find(([, one]) => one === tag)?.[0] ?? '?';
  return stepFields(step).map(([tag]) => nameOf(tag));
}

function parsed(step: Step): Fields {
  return Fields.parse(encodeFields(stepFields(step)));
}

describe('stepFields()', () => {
  test('knows every OP of the protocol', () => {
    const ops = ONE_OF_EACH.map((step) => parsed(step).number(TAG.OP));
    expect(ops).toEqual(Object.values(OP));
  });

  test('sends the fields that wire.ts names beside each OP', () => {
    const fields = Object.fromEntries(ONE_OF_EACH.map((step) => [step.op, tagsOf(step).slice(1)]));
    expect(fields).toEqual({
      lock: ['SOURCE'],
      cgroup: ['SOURCE', 'TARGET', 'UID', 'GID'],
      join: ['SOURCE'],
      merge: [],
      log: ['SOURCE', 'UID', 'GID', 'LENGTH', 'COUNT'],
      listen: ['SOURCE'],
      private: [],
      root: ['SOURCE'],
      proc: ['TARGET', 'NUMBER'],
      tmpfs: ['TARGET', 'LENGTH', 'COUNT', 'MODE', 'FLAGS'],
      devpts: ['TARGET', 'COUNT'],
      mqueue: ['TARGET'],
      device: ['TARGET', 'MODE', 'NUMBER'],
      directory: ['TARGET', 'MODE'],
      file: ['TARGET', 'MODE', 'BYTES'],
      symlink: ['TARGET', 'TEXT'],
      bind: ['SOURCE', 'TARGET', 'FLAGS'],
      'bind-inside': ['SOURCE', 'TARGET', 'FLAGS'],
      mask: ['TARGET'],
      'read-only': ['TARGET'],
      hostname: ['TEXT'],
      sysctl: ['TARGET', 'TEXT'],
      loopback: [],
      home: ['SOURCE', 'UID', 'GID'],
      image: ['SOURCE', 'TARGET', 'UID', 'GID'],
      hook: ['TEXT', 'LENGTH'],
      sweep: [],
      gate: ['LENGTH'],
      pivot: [],
      rlimit: ['NUMBER', 'LENGTH', 'COUNT'],
      drop: ['UID', 'GID'],
      seccomp: ['BYTES'],
      tun: ['TARGET', 'LENGTH', 'COUNT'],
      address: ['TARGET', 'ADDRESS', 'GATEWAY', 'ADDRESS6', 'GATEWAY6', 'FLAGS'],
    });
  });

  test('packs a device number as major << 8 | minor', () => {
    const step = { op: 'device', target: '/dev/full', mode: 0o666, major: 1, minor: 7 } as const;
    expect(parsed(step).number(TAG.NUMBER)).toBe(0x107);
  });

  test('sends a file as UTF-8 bytes', () => {
    const step = { op: 'file', target: '/x', mode: 0o644, content: 'Grüße\n' } as const;
    expect(parsed(step).bytes(TAG.BYTES).toString('utf8')).toBe('Grüße\n');
  });

  test('sends Infinity as RLIM_INFINITY', () => {
    const step = { op: 'rlimit', resource: 7, soft: 1024, hard: Infinity } as const;
    expect(parsed(step).number(TAG.LENGTH)).toBe(1024);
    expect(parsed(step).bigint(TAG.COUNT)).toBe(2n ** 64n - 1n);
  });
});

describe('launchFields()', () => {
  test('keeps the steps in order', () => {
    const plan: JailPlan = {
      name: 'blog',
      generation: 3,
      hash: 'abc',
      namespaces: ['fs', 'pid'],
      steps: ONE_OF_EACH,
    };
    const fields = Fields.parse(encodeFields(launchFields(plan)));
    expect(fields.text(TAG.NAME)).toBe('blog');
    expect(fields.number(TAG.GENERATION)).toBe(3);
    expect(fields.text(TAG.HASH)).toBe('abc');
    expect(fields.number(TAG.FLAGS)).toBe(NAMESPACE.fs | NAMESPACE.pid);
    const steps = Fields.parse(fields.bytes(TAG.PLAN)).entries(TAG.ENTRY);
    expect(steps.map((step) => step.number(TAG.OP))).toEqual(Object.values(OP));
  });
});

describe('namespaceBits() and mountBits()', () => {
  test('join the bits of the names', () => {
    expect(namespaceBits([])).toBe(0);
    expect(namespaceBits(['fs', 'ipc', 'uts', 'net', 'pid', 'cgroup'])).toBe(63);
    expect(mountBits(['ro', 'noexec'])).toBe(MOUNT.READ_ONLY | MOUNT.NOEXEC);
    expect(mountBits(['ro', 'nosuid', 'nodev', 'noexec'])).toBe(15);
  });
});
