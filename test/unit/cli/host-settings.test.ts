/** What the doctor says of the host's kernel, over a /proc and a /sys of the test's own. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { judgeHostSettings, readHostSettings } from '../../../src/cli/doctor/host-settings.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'emperor-host-'));
});
afterEach(() => rmSync(root, { recursive: true }));

function write(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), `${text}\n`);
}

const judge = () =>
  judgeHostSettings(
    readHostSettings({
      sysctl: join(root, 'proc/sys'),
      proc: join(root, 'proc'),
      sys: join(root, 'sys'),
    }),
  );
const about = (topic: string) => judge().find((finding) => finding.topic === topic);

const SOUND: Readonly<Record<string, string>> = {
  'kernel/core_pattern': 'core',
  'fs/suid_dumpable': '0',
  'kernel/dmesg_restrict': '1',
  'kernel/kptr_restrict': '2',
  'kernel/unprivileged_bpf_disabled': '2',
  'kernel/perf_event_paranoid': '3',
  'kernel/io_uring_disabled': '2',
  'user/max_user_namespaces': '0',
  'kernel/yama/ptrace_scope': '1',
  'dev/tty/legacy_tiocsti': '0',
  'fs/protected_symlinks': '1',
  'fs/protected_hardlinks': '1',
  'fs/protected_fifos': '1',
  'fs/protected_regular': '2',
  'debug/exception-trace': '0',
  'kernel/sysrq': '438',
  'net/ipv4/conf/all/rp_filter': '0',
  'net/ipv4/conf/eth0/rp_filter': '2',
  'net/ipv4/conf/all/route_localnet': '0',
  'net/ipv4/conf/eth0/route_localnet': '0',
};
/** One wrong value for each, and the assignment that mends it. */
const WRONG: readonly (readonly [path: string, value: string, mended: string])[] = [
  ['kernel/core_pattern', '|/usr/lib/systemd/systemd-coredump %P', 'kernel.core_pattern=core'],
  ['fs/suid_dumpable', '2', 'fs.suid_dumpable=0'],
  ['kernel/dmesg_restrict', '0', 'kernel.dmesg_restrict=1'],
  ['kernel/kptr_restrict', '0', 'kernel.kptr_restrict=1'],
  ['kernel/unprivileged_bpf_disabled', '0', 'kernel.unprivileged_bpf_disabled=1'],
  ['kernel/perf_event_paranoid', '1', 'kernel.perf_event_paranoid=2'],
  ['kernel/perf_event_paranoid', '-1', 'kernel.perf_event_paranoid=2'],
  ['kernel/io_uring_disabled', '1', 'kernel.io_uring_disabled=2'],
  ['user/max_user_namespaces', '96365', 'user.max_user_namespaces=0'],
  ['kernel/yama/ptrace_scope', '0', 'kernel.yama.ptrace_scope=1'],
  ['dev/tty/legacy_tiocsti', '1', 'dev.tty.legacy_tiocsti=0'],
  ['fs/protected_symlinks', '0', 'fs.protected_symlinks=1'],
  ['fs/protected_hardlinks', '0', 'fs.protected_hardlinks=1'],
  ['fs/protected_fifos', '0', 'fs.protected_fifos=2'],
  ['fs/protected_regular', '0', 'fs.protected_regular=2'],
  ['debug/exception-trace', '1', 'debug.exception-trace=0'],
  ['kernel/sysrq', '1', 'kernel.sysrq=176'],
];

function makeSound(): void {
  for (const [path, value] of Object.entries(SOUND)) write(`proc/sys/${path}`, value);
}

test('a host that is set up as it should be has nothing to mend, and each setting is told', () => {
  makeSound();
  const findings = judge();
  expect(findings.filter(({ verdict }) => verdict !== 'ok')).toEqual([]);
  expect(findings.find(({ topic }) => topic === 'kernel.kptr_restrict')?.message).toBe('2');
  expect(findings).toHaveLength(WRONG.length - 1 + 4);
});

test.each(WRONG)('%s of %s is a warning with the fix for now and for the next boot', (...row) => {
  const [path, value, mended] = row;
  makeSound();
  write(`proc/sys/${path}`, value);
  const unsound = judge().filter(({ verdict }) => verdict !== 'ok');
  expect(unsound).toMatchObject([{ topic: path.replaceAll('/', '.'), verdict: 'warning' }]);
  expect(unsound[0]?.message).toMatch(new RegExp(`^${value.replace(/[|]/, '\\|')}: \\w`));
  const kept = mended.replace('=', ' = ');
  expect(unsound[0]?.fix).toBe(
    `\`sysctl -w ${mended}\`, and \`${kept}\` in /etc/sysctl.d/60-emperor.conf`,
  );
});

test('crashes that go to a socket are a problem: no limit keeps vassals from it', () => {
  makeSound();
  write('proc/sys/kernel/core_pattern', '@/run/dumps.socket');
  expect(about('kernel.core_pattern')).toMatchObject({ verdict: 'problem' });
});

test('what this kernel has not is nothing to mend', () => {
  const findings = judge().filter(({ topic }) => topic.includes('.'));
  expect(new Set(findings.map(({ message }) => message))).toEqual(new Set(['not on this kernel']));
  expect(findings.every(({ verdict, fix }) => verdict === 'ok' && fix === null)).toBe(true);
});

test('of devices the one that is wrong is named, as the kernel sees it together with `all`', () => {
  makeSound();
  write('proc/sys/net/ipv4/conf/eth0.7/rp_filter', '0');
  expect(about('net.ipv4.conf.*.rp_filter')).toMatchObject({
    verdict: 'warning',
    message: expect.stringMatching(/^0 for eth0\.7: /),
    fix:
      '`sysctl -w net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0/7.rp_filter=1`, and ' +
      '`net.ipv4.conf.all.rp_filter = 1` and `net.ipv4.conf.default.rp_filter = 1` in ' +
      '/etc/sysctl.d/60-emperor.conf',
  });
  write('proc/sys/net/ipv4/conf/all/rp_filter', '1');
  expect(about('net.ipv4.conf.*.rp_filter')).toMatchObject({ verdict: 'ok' });
  write('proc/sys/net/ipv4/conf/all/route_localnet', '1');
  expect(about('net.ipv4.conf.*.route_localnet')).toMatchObject({
    verdict: 'warning',
    message: expect.stringMatching(/^1 for eth0: /),
  });
});

test('swap on a disk is told unless it is encrypted; zram is memory', () => {
  const head = 'Filename\tType\tSize\tUsed\tPriority';
  const rows = (...names: readonly string[]) =>
    write('proc/swaps', [head, ...names.map((name) => `${name} partition 1 0 -2`)].join('\n'));
  expect(about('swap')).toMatchObject({ verdict: 'ok', message: 'none' });
  rows('/dev/zram0');
  expect(about('swap')).toMatchObject({ verdict: 'ok', message: 'none' });
  write('sys/block/dm-1/dm/uuid', 'CRYPT-PLAIN-swap');
  rows('/dev/dm-1');
  expect(about('swap')).toMatchObject({ verdict: 'ok', message: 'encrypted' });
  write('sys/block/dm-2/dm/uuid', 'LVM-abc');
  rows('/dev/dm-1', '/dev/dm-2', '/swapfile');
  expect(about('swap')).toMatchObject({
    verdict: 'warning',
    message: expect.stringMatching(/^\/dev\/dm-2, \/swapfile: /),
    fix: expect.stringContaining('swapoff /dev/dm-2 /swapfile'),
  });
});

test('merging of memory: what it costs where it is on, why `ksm` has no effect where it is not', () => {
  const judgeKsm = (kernelRelease: string) =>
    judgeHostSettings(
      readHostSettings({ sysctl: root, proc: root, sys: join(root, 'sys'), kernelRelease }),
    ).find(({ topic }) => topic === 'ksm');
  expect(judgeKsm('6.12.0')).toMatchObject({
    verdict: 'ok',
    message: expect.stringMatching(/has no KSM/),
  });
  write('sys/kernel/mm/ksm/run', '0');
  expect(judgeKsm('6.12.0')).toMatchObject({
    verdict: 'ok',
    message: expect.stringMatching(/ksm\/run$/),
  });
  expect(judgeKsm('6.6.9')).toMatchObject({
    verdict: 'ok',
    message: expect.stringMatching(/6\.7/),
  });
  write('sys/kernel/mm/ksm/run', '1');
  expect(judgeKsm('6.7.0-1-amd64')).toMatchObject({
    verdict: 'warning',
    fix: expect.stringMatching(/echo 2/),
  });
});
