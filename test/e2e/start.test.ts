/** The first minute of a newcomer: `npm start` in the checkout, and the samples do what they say. */
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, cpSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { VassalStatus } from '../../src/emperor/governor.ts';
import { Newcomer, ROOT } from '../support/newcomer.ts';
import { until } from '../support/wait.ts';

const ORDINARY_UID = 1000;
/** curl(1), exit codes. */
const CURL_CANNOT_CONNECT = 7;
const SAMPLES = ['broken', 'tour', 'web'];

function statusOf(newcomer: Newcomer, name: string): VassalStatus {
  const all = JSON.parse(newcomer.cli('ls', '--json')) as readonly VassalStatus[];
  const found = all.find((each) => each.name === name);
  if (!found) throw new Error(`there is no ${name} in ${JSON.stringify(all)}`);
  return found;
}

describe('npm start', () => {
  let newcomer: Newcomer;
  beforeAll(async () => {
    newcomer = new Newcomer('start');
    await newcomer.start(['npm', 'start', '--']);
  });
  afterAll(() => newcomer.close());

  test('is ready and names three commands to try', async () => {
    await until('the banner', () => newcomer.output.includes('Ctrl-C stops everything'));
    const [, banner = ''] = newcomer.output.split(/^ready$/m);
    const commands = banner.split('\n').filter((line) => line.startsWith('  '));
    expect(commands).toHaveLength(3);
    for (const command of commands) {
      expect(command).toMatch(/^ {2}\.\/bin\/emperor /);
      const line = `timeout 3 ${command.trim()}`;
      const { status, stdout } = spawnSync('sh', ['-c', line], { cwd: ROOT, encoding: 'utf8' });
      // `logs -f` goes on until it is ended.
      expect([command, status]).toEqual([command, command.endsWith('-f') ? 124 : 0]);
      expect(stdout).not.toBe('');
    }
  });

  test('serves a page from web, which only web can reach', async () => {
    newcomer.cli('wait', 'web', '--for', 'running');
    const curl = (name: string) =>
      newcomer.ask('exec', name, '--', 'curl', '-s', 'http://localhost:8000/');
    const answer = await until('the server listens', () => {
      const one = curl('web');
      return one.status === CURL_CANNOT_CONNECT ? null : one;
    });
    expect(answer).toMatchObject({ status: 0, stdout: '<h1>Hello from web</h1>\n' });
    expect(curl('tour').status).toBe(CURL_CANNOT_CONNECT);
  });

  test('shows in the log of tour who and where it is', async () => {
    const log = await until('the tour ends', () => {
      const text = newcomer.cli('logs', 'tour');
      return /tmpfs \/run/.test(text) ? text : null;
    });
    expect(log).toMatch(/tour +1 +0 .* init\b/);
    expect(log).toMatch(/uid=\d+\(tour\)/);
    expect(log).toMatch(/\binside$/m);
    expect(log).toMatch(/ \/tmp tmpfs .*size=16384k/);
    expect(statusOf(newcomer, 'tour').state).toBe('running');
  });

  test('holds back broken, and says why', async () => {
    const broken = await until('it has failed', () => {
      const status = statusOf(newcomer, 'broken');
      return status.failures > 0 && status.state === 'backoff' ? status : null;
    });
    expect(broken.lastExit).toMatchObject({ code: 1, reason: 'exit' });
    expect(newcomer.cli('logs', 'broken')).toContain('I cannot find my database');
  });

  test('stops everything on Ctrl-C and leaves nothing behind', async () => {
    expect(newcomer.processes().length).toBeGreaterThan(SAMPLES.length);
    await newcomer.interrupt();
    expect(newcomer.output).toContain('stopping all vassals');
    await until('all processes are gone', () => newcomer.processes().length === 0);
    expect(newcomer.cgroup.directories()).toEqual([]);
    expect(readdirSync(join(newcomer.directory, 'run/vassals'))).toEqual([]);
  });
});

describe('the samples', () => {
  test.each(['emperor', ...SAMPLES.map((name) => `vassals/${name}`)])(
    '%s.ini is explained line by line: no key, or group of them, without a comment above',
    (name) => {
      const groups = readFileSync(join(ROOT, `${name}.ini`), 'utf8').split(/\n\n+/);
      const withKey = groups.filter((group) => /^\w[\w-]* *=/m.test(group));
      expect(withKey.filter((group) => !group.startsWith('; '))).toEqual([]);
      expect(withKey.length).toBeGreaterThan(1);
    },
  );

  test('are valid', () => {
    const files = SAMPLES.map((name) => `vassals/${name}.ini`);
    const { status, stdout } = spawnSync('bin/emperor', ['check', 'emperor.ini', ...files], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    expect({ status, stdout }).toEqual({ status: 0, stdout: '' });
  });

  test('run from a clone of an ordinary user, who owns emperor.ini and the vassal files', async () => {
    const newcomer = new Newcomer('clone');
    try {
      const clone = join(newcomer.directory, 'clone');
      for (const name of ['emperor.ini', 'vassals']) {
        cpSync(join(ROOT, name), join(clone, name), { recursive: true });
      }
      symlinkSync(join(ROOT, 'distros'), join(clone, 'distros'));
      giveAway(clone);
      await newcomer.start(['bin/emperor', 'run', '--ini', join(clone, 'emperor.ini')]);
      newcomer.cli('wait', 'web', '--for', 'running');
      for (const name of SAMPLES) {
        expect(statusOf(newcomer, name).config).toMatchObject({ valid: true, diagnostics: [] });
      }
      await newcomer.interrupt();
    } finally {
      await newcomer.close();
    }
  });
});

/** To a user with Debian's usual umask and group. */
function giveAway(directory: string): void {
  chownSync(directory, ORDINARY_UID, ORDINARY_UID);
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isSymbolicLink() || path.includes('/distros/')) continue;
    chownSync(path, ORDINARY_UID, ORDINARY_UID);
    chmodSync(path, entry.isDirectory() ? 0o755 : 0o644);
  }
}
