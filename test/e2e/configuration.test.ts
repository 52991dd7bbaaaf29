/** emperor.ini and vassal files as an operator and a panel change them, under a daemon that must not stumble. */

import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PlannedChange } from '../../src/emperor/governor.ts';
import { TestEmperor, until } from '../support/emperor.ts';
import { patienceMs } from '../support/slowness.ts';

let emperor: TestEmperor;
const status = (name: string) => emperor.status(name);
const stats = () => emperor.stats();
const list = () => emperor.list();
const running = (names: readonly string[]) =>
  list().filter(({ name, state }) => names.includes(name) && state === 'running').length;
const SLEEP = '[vassal]\ncommand = sleep 1000\n';

beforeAll(async () => {
  emperor = new TestEmperor();
  await emperor.start();
});
afterAll(() => emperor.close());

describe('emperor.ini', () => {
  test('D6: an edit of a class reaches exactly the vassals that take it', async () => {
    emperor.writeIni({ sections: '[class small]\nhostname = little\n' });
    await until('the class is known', () => (stats().counters['emperor-ini-applied'] ?? 0) > 0);
    emperor.apply('small', `${SLEEP}class = small\n`);
    emperor.apply('plain', SLEEP);
    const before = [status('small'), status('plain')];
    emperor.writeIni({ sections: '[class small]\nhostname = tiny\n' });
    await until('the change arrives', () => status('small').hostname === 'tiny');
    emperor.wait('small', 'applied');
    expect(emperor.cli('exec', 'small', '--', 'hostname').stdout).toBe('tiny\n');
    expect(status('small').generation).toBe((before[0]?.generation ?? 0) + 1);
    expect(status('plain')).toMatchObject({
      pid: before[1]?.pid,
      generation: before[1]?.generation,
    });
  });

  test('D5: a broken emperor.ini changes nothing, is shown in `stats`, and its repair is applied', async () => {
    const { pid } = status('plain');
    emperor.writeIni({ ini: 'vasals = nowhere' });
    await until('the condition', () => stats().conditions.length > 0);
    expect(stats().conditions.join()).toMatch(/emperor\.ini.*last good/);
    expect(JSON.stringify(stats().diagnostics)).toMatch(/vasals.*did you mean.*vassals/);
    expect(status('plain').pid).toBe(pid);
    emperor.writeIni({ sections: '[class small]\nhostname = tiny\n' });
    await until('the repair', () => stats().conditions.length === 0);
  });

  test('a key that needs a restart says so, and does nothing until then', async () => {
    emperor.writeIni({
      ini: 'uid-range = 300000-300010',
      sections: '[class small]\nhostname = tiny\n',
    });
    await until('the condition', () => stats().conditions.length > 0);
    expect(stats().conditions.join()).toMatch(/uid-range.*restarted/);
    emperor.apply('later', SLEEP);
    expect(status('later').uid).toBeLessThan(300_000);
    emperor.writeIni({ sections: '[class small]\nhostname = tiny\n' });
    await until('all is as before', () => stats().conditions.length === 0);
  });

  test('another directory of distros waits for a restart, and the one in use goes on serving', async () => {
    emperor.writeIni({
      distros: emperor.vassals,
      sections: '[class small]\nhostname = tiny\n',
    });
    await until('the condition', () => stats().conditions.length > 0);
    expect(stats().conditions.join()).toMatch(/distros.*restarted/);
    emperor.apply('plain', `${SLEEP}distro = bookworm\n`);
    expect(status('plain')).toMatchObject({ state: 'running', config: { valid: true } });
    emperor.writeIni({ sections: '[class small]\nhostname = tiny\n' });
    await until('all is as before', () => stats().conditions.length === 0);
  });

  test('another backoff counts at once', async () => {
    const applied = stats().counters['emperor-ini-applied'] ?? 0;
    emperor.writeIni({
      ini: 'emperor-throttle = 60000',
      sections: '[class small]\nhostname = tiny\n',
    });
    await until('it is read', () => (stats().counters['emperor-ini-applied'] ?? 0) > applied);
    expect(stats().conditions).toEqual([]);
    emperor.write('fails', '[vassal]\ncommand = false\n');
    await until('it has failed', () => status('fails').state === 'backoff');
    const { nextAttemptAt, lastExit } = status('fails');
    expect(Date.parse(nextAttemptAt ?? '') - Date.parse(lastExit?.at ?? '')).toBeGreaterThan(
      20_000,
    );
    emperor.remove('fails');
    emperor.wait('fails', 'gone');
    emperor.writeIni({ sections: '[class small]\nhostname = tiny\n' });
    await until(
      'all is as before',
      () => (stats().counters['emperor-ini-applied'] ?? 0) > applied + 1,
    );
  });

  test('a directory of vassals can be added, and taken away again', async () => {
    const more = join(emperor.directory, 'more');
    mkdirSync(more);
    writeFileSync(join(more, 'guest.ini'), SLEEP);
    emperor.writeIni({ ini: `vassals = ${more}`, sections: '[class small]\nhostname = tiny\n' });
    emperor.wait('guest', 'running');
    emperor.writeIni({ sections: '[class small]\nhostname = tiny\n' });
    emperor.wait('guest', 'gone');
    expect(status('plain').state).toBe('running');
  });

  test('partly M53: SIGHUP reads everything again', async () => {
    const before = stats().counters['emperor-ini-applied'] ?? 0;
    emperor.hup();
    await until('the rescan', () => (stats().counters['emperor-ini-applied'] ?? 0) > before);
  });

  test('partly M53: SIGHUP finds a change that no event tells', async () => {
    emperor.apply('linked', SLEEP);
    const elsewhere = join(emperor.directory, 'linked.ini');
    linkSync(emperor.file('linked'), elsewhere);
    // Several times, since the scan of every few seconds could find one by chance.
    for (let round = 1; round <= 3; round += 1) {
      const { generation } = status('linked');
      writeFileSync(elsewhere, `[vassal]\ncommand = sleep ${1000 + round}\n`);
      emperor.hup();
      await until('it is applied', () => status('linked').generation > generation, 2000);
    }
    emperor.remove('linked');
    emperor.wait('linked', 'gone');
  });
});

describe('a vassal file', () => {
  test('that is refused never blocks the daemon, and says which rule and what to do', async () => {
    execFileSync('mkfifo', [emperor.file('fifo')]);
    mkdirSync(emperor.file('folder'));
    symlinkSync('/etc/passwd', emperor.file('link'));
    writeFileSync(emperor.file('open'), SLEEP);
    chmodSync(emperor.file('open'), 0o666);
    writeFileSync(emperor.file('foreign'), SLEEP);
    chownSync(emperor.file('foreign'), 12_345, 12_345);
    writeFileSync(emperor.file('huge'), `[vassal]\n; ${'x'.repeat(70_000)}\n`);
    writeFileSync(emperor.file('binary'), '[vassal]\ncommand = a\0b\n');
    writeFileSync(emperor.file('latin'), Buffer.from('[vassal]\nenv = A=\xe9\n', 'latin1'));
    const expected: Readonly<Record<string, RegExp>> = {
      fifo: /FIFO/,
      folder: /directory/,
      link: /leads out/,
      open: /writable|chmod/,
      foreign: /12345|trusted-owners/,
      huge: /64 KiB|too large/,
      binary: /NUL/,
      latin: /UTF-8/,
    };
    for (const [name, reason] of Object.entries(expected)) {
      const answer = emperor.cli('wait', name, '--for', 'applied', '--timeout', '10s');
      expect([name, answer.status, answer.stderr]).toEqual([
        name,
        1,
        expect.stringMatching(reason),
      ]);
      expect(status(name)).toMatchObject({ state: 'failed', config: { valid: false } });
    }
    expect(status('plain').state).toBe('running');
    for (const name of Object.keys(expected)) {
      rmSync(emperor.file(name), { recursive: true });
      emperor.wait(name, 'gone');
    }
  });

  test('partly M57: of its own tenant has only tenant keys, and never reads a file or the environment', async () => {
    emperor.apply('tyrant', SLEEP);
    const uid = status('tyrant').uid ?? 0;
    const own = (text: string) => {
      writeFileSync(join(emperor.vassals, '.tyrant.new'), text);
      chownSync(join(emperor.vassals, '.tyrant.new'), uid, uid);
      renameSync(join(emperor.vassals, '.tyrant.new'), emperor.file('tyrant'));
      return emperor.cli('wait', 'tyrant', '--for', 'applied', '--timeout', '10s');
    };
    expect(own('[vassal]\ncommand = sleep 2000\nenv = A=1\n').status).toBe(0);
    expect(status('tyrant')).toMatchObject({ uid, gid: uid, state: 'running' });
    for (const line of [
      'uid = 0',
      'distro = bookworm',
      'home = /etc',
      'bind = /etc /srv',
      'exec-as-root = id',
      'include = /etc/shadow',
      'env = A=$(HOME)',
      'class = small',
    ]) {
      const answer = own(`[vassal]\ncommand = sleep 2000\n${line}\n`);
      expect([line, answer.status]).toEqual([line, 1]);
      expect(answer.stderr + JSON.stringify(status('tyrant'))).not.toMatch(/root:[*$!x]/);
    }
    expect(status('tyrant')).toMatchObject({ state: 'running', config: { valid: false } });
  });

  test('of a trusted owner may say what root may', async () => {
    const applied = stats().counters['emperor-ini-applied'] ?? 0;
    emperor.writeIni({
      ini: 'trusted-owners = 12345',
      sections: '[class small]\nhostname = tiny\n',
    });
    await until('it is read', () => (stats().counters['emperor-ini-applied'] ?? 0) > applied);
    const temporary = join(emperor.vassals, '.panel.new');
    writeFileSync(temporary, `${SLEEP}exec-as-root = hostname by-the-panel\n`);
    chownSync(temporary, 12_345, 12_345);
    renameSync(temporary, emperor.file('panel'));
    emperor.wait('panel', 'applied');
    expect(emperor.cli('exec', 'panel', '--', 'hostname').stdout).toBe('by-the-panel\n');
    emperor.writeIni({ sections: '[class small]\nhostname = tiny\n' });
    await until('it is trusted no more', () => !status('panel').config.valid);
    expect(status('panel').state).toBe('running');
    emperor.remove('panel');
    emperor.wait('panel', 'gone');
  });

  test('is shown with the origin of each value, and what a change would cost', async () => {
    emperor.apply('small', `${SLEEP}class = small\n`);
    const values = emperor.json<readonly { key: string; value: string; origin: string }[]>(
      'cat',
      'small',
      '--resolved',
    );
    const origin = (key: string) => values.find((value) => value.key === key)?.origin ?? '';
    expect(origin('command')).toMatch(/small\.ini:2/);
    expect(origin('hostname')).toMatch(/class small \(.*emperor\.ini:\d+\)/);
    expect(origin('tmp-size')).toBe('built-in default');
    expect(emperor.cli('cat', 'small').stdout).toBe(`${SLEEP}class = small\n`);
    const changed = join(emperor.directory, 'small.ini');
    writeFileSync(changed, '[vassal]\ncommand = sleep 2000\nclass = small\n');
    const [change] = emperor.json<readonly PlannedChange[]>('plan', changed);
    expect(change).toMatchObject({
      name: 'small',
      action: 'change',
      cost: 'process',
      keys: ['command'],
    });
  });

  test('partly M40: runs the hooks of the seed as printed, in its own namespaces', () => {
    emperor.apply(
      'seed',
      `[uwsgi]
; set the hostname
exec-as-root = hostname foobar
; bring up loopback
exec-as-root = ifconfig lo up
command = sleep 1000
`,
    );
    expect(emperor.cli('exec', 'seed', '--', 'hostname').stdout).toBe('foobar\n');
    expect(emperor.cli('exec', 'seed', '--', 'ip', 'addr', 'show', 'lo').stdout).toMatch(
      /LOOPBACK,UP/,
    );
    expect(readFileSync('/proc/sys/kernel/hostname', 'utf8')).not.toBe('foobar\n');
    expect(emperor.cli('exec', 'seed', '--', 'hostname', 'other').status).not.toBe(0);
  });

  test('whose hook fails is refused, with the command and its status', () => {
    emperor.write('hooked', `${SLEEP}exec-as-root = sh -c 'echo no luck >&2; exit 7'\n`);
    const answer = emperor.cli('wait', 'hooked', '--for', 'applied', '--timeout', '10s');
    expect(answer.status).toBe(1);
    expect(answer.stderr).toMatch(/hook.*exit status 7/);
    expect(emperor.cli('logs', 'hooked').stdout).toMatch(/no luck/);
    emperor.remove('hooked');
    emperor.wait('hooked', 'gone');
  });

  test('a burst of 200 files is applied, each once, and one bad file delays none', {
    timeout: patienceMs(180_000),
  }, async () => {
    emperor.write('aaa-slow', `${SLEEP}exec-as-root = sleep 3\n`);
    const names = Array.from({ length: 200 }, (_, i) => `burst${i}`);
    for (const name of names) writeFileSync(emperor.file(name), '[vassal]\n');
    await until('all run', () => running(names) === names.length, 60_000);
    expect(
      list()
        .filter(({ name }) => names.includes(name))
        .every(({ generation }) => generation === 1),
    ).toBe(true);
    expect(status('aaa-slow').state).toMatch(/starting|running/);
    for (const name of ['aaa-slow', ...names]) emperor.remove(name);
    // More than a fifth vanished at once: said, and held.
    await until('mass-removal', () => stats().conditions.some((line) => line.includes('vanished')));
    expect(emperor.cli('events').stdout).toMatch(/mass-removal/);
    for (const name of ['aaa-slow', ...names]) emperor.write(name, '[vassal]\n');
    await until('they are back', () => stats().conditions.length === 0);
    expect(status('burst7')).toMatchObject({ state: 'running', generation: 1 });
  });
});

test('partly M35: what `emperor-use-clone` names each vassal has of its own; the rest is shared', async () => {
  const sharing = new TestEmperor({ ini: 'emperor-use-clone = fs,pid,net' });
  try {
    await sharing.start();
    sharing.apply('blog', SLEEP);
    const links = (pid: number) =>
      ['mnt', 'pid', 'net', 'ipc', 'uts'].map((kind) => readlinkSync(`/proc/${pid}/ns/${kind}`));
    const own = links(sharing.status('blog').pid ?? 0);
    const host = links(sharing.pid);
    expect(own.map((link, at) => link === host[at])).toEqual([false, false, false, true, true]);
  } finally {
    await sharing.close();
  }
});

test('`check` validates without a daemon, and the JSON has positions', () => {
  const file = join(emperor.directory, 'candidate.ini');
  writeFileSync(file, '[vassal]\ncomand = sleep 1\nstop-grace = soon\n');
  const answer = emperor.cli('check', file);
  expect(answer.status).toBe(1);
  expect(answer.stdout + answer.stderr).toMatch(/candidate\.ini:2:1: error\[unknown-key\]/);
  const diagnostics = emperor.json<readonly { line: number; column: number }[]>('check', file);
  expect(diagnostics.map(({ line }) => line)).toEqual([2, 3]);
  writeFileSync(file, SLEEP);
  expect(emperor.cli('check', file).status).toBe(0);
});
