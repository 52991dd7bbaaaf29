/** Attacks on the directory of vassal files and on the host's side, by tenants with a file or a uid of their own. */
import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BINARY, TestEmperor, until } from '../support/emperor.ts';
import { patienceMs } from '../support/slowness.ts';

const IDLE = '[vassal]\ncommand = sleep 100000\n';
const emperor = new TestEmperor();
const status = (name: string) => emperor.status(name);
/** A number that nobody has where the vassal has none. */
const uidOf = (name: string) => status(name).uid ?? -1;
const codes = (name: string) => status(name).config.diagnostics.map(({ code }) => code);

/** Runs `script` on the host as an ordinary user of that number. */
function as(uid: number, script: string): { readonly status: number; readonly stdout: string } {
  const ids = [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups'];
  const command = ['setpriv', ...ids, 'sh', '-c', `(${script}) 2>&1; echo " status $?"`];
  const stdout = execFileSync('env', command, { encoding: 'utf8', cwd: '/' });
  return { status: Number(/ status (\d+)\n$/.exec(stdout)?.[1]), stdout };
}

/** Puts into place what `make` makes at a hidden name. */
function place(name: string, make: (path: string) => void): void {
  const temporary = join(emperor.vassals, `.${name}.tmp`);
  make(temporary);
  renameSync(temporary, emperor.file(name));
}

beforeAll(async () => {
  chmodSync(emperor.directory, 0o755);
  // Shared with tenants, as /tmp is.
  chmodSync(emperor.vassals, 0o1777);
  await emperor.start();
  emperor.apply('blog', IDLE);
  emperor.apply('shop', '[vassal]\nenv = SECRET=of-the-shop\ncommand = sleep 100000\n');
});
afterAll(() => emperor.close());

describe('names', () => {
  test.each(['cgroup.procs', 'cgroup.kill', 'tasks', 'constructor', 'root'])(
    'a vassal called %s runs, and goes without a trace',
    (name) => {
      emperor.apply(name, IDLE);
      expect(status(name).state).toBe('running');
      emperor.remove(name);
      emperor.wait(name, 'gone');
      expect(existsSync(join(emperor.directory, 'run/vassals', name))).toBe(false);
    },
  );

  test('a vassal cannot be called as a file of log-dir is', async () => {
    emperor.write('router.log', IDLE);
    emperor.apply('later', IDLE);
    expect(emperor.cli('status', 'router.log').status).toBe(4);
    expect(existsSync(join(emperor.directory, 'log/router.log'))).toBe(false);
    emperor.remove('router.log');
  });
});

describe('uids', () => {
  test('of two files that give one uid the second is refused, and the first runs on', () => {
    emperor.apply('first', `${IDLE}uid = 5000\n`);
    const { pid } = status('first');
    emperor.write('second', `${IDLE}uid = 5000\n`);
    expect(emperor.cli('wait', 'second', '--for', 'applied', '--timeout', '10s').status).toBe(1);
    expect(codes('second')).toEqual(['uid-taken']);
    expect(status('first')).toMatchObject({ state: 'running', pid });
  });

  test('a uid is free again when the file that gave it is gone', () => {
    emperor.apply('leaves', `${IDLE}uid = 5001\n`);
    emperor.remove('leaves');
    emperor.wait('leaves', 'gone');
    emperor.apply('comes', `${IDLE}uid = 5001\n`);
    expect(uidOf('comes')).toBe(5001);
  });

  test('no vassal gets a uid of its own that a file has given to another', () => {
    emperor.apply('probe', IDLE);
    const next = uidOf('probe') + 1;
    emperor.apply('given', `${IDLE}uid = ${next}\n`);
    emperor.apply('own', IDLE);
    expect(uidOf('given')).toBe(next);
    expect(uidOf('own')).not.toBe(next);
  });
});

describe('emperor.ini', () => {
  test('is not believed while somebody is writing it, and applied soon after', async () => {
    // The CLI would look for it in the file.
    const socket = join(emperor.directory, 'run/emperor.sock');
    const whole = readFileSync(emperor.ini, 'utf8');
    const half = whole.slice(0, whole.indexOf(emperor.vassals) + emperor.vassals.length - 1);
    const conditions = () =>
      emperor.json<{ conditions: readonly string[] }>('--socket', socket, 'stats').conditions;
    const fd = openSync(emperor.ini, 'w');
    writeSync(fd, half);
    await until('the writer is noticed', () => conditions().join().includes('it is being written'));
    expect(conditions()).toEqual([
      `Cannot use ${emperor.ini}: it is being written; the last good configuration stays in force`,
    ]);
    writeSync(fd, `${whole.slice(half.length)}vassal-set = env=WHOLE=yes\n`);
    closeSync(fd);
    await until('the whole is applied', () =>
      emperor.cli('exec', 'blog', '--', 'env').stdout.includes('WHOLE=yes'),
    );
    expect(conditions()).toEqual([]);
  });
});

describe('links', () => {
  test("a tenant's link to somebody else's file is refused, and root's is not", () => {
    const uid = uidOf('blog');
    chmodSync(emperor.file('shop'), 0o600);
    as(uid, `ln -s shop.ini ${emperor.vassals}/evil.ini`);
    symlinkSync('shop.ini', emperor.file('alias'));
    emperor.wait('alias', 'running');
    expect(codes('evil')).toEqual(['file-link']);
    expect(status('evil').state).not.toBe('running');
    unlinkSync(emperor.file('alias'));
    unlinkSync(emperor.file('evil'));
  });

  test("a tenant that replaces its own file by a link does not get its neighbour's secrets", async () => {
    emperor.apply('tenant', IDLE);
    const uid = uidOf('tenant');
    place('tenant', (path) => {
      symlinkSync('shop.ini', path);
      execFileSync('chown', ['-h', `${uid}:${uid}`, path]);
    });
    await until('the link is refused', () => codes('tenant').includes('file-link'));
    const seen = emperor.cli('exec', 'tenant', '--', 'sh', '-c', 'cat /proc/*/environ').stdout;
    expect(seen).toContain('HOME=/home/tenant');
    expect(seen).not.toContain('SECRET');
  });
});

describe('a tenant with a file of its own', () => {
  test('that swaps it a thousand times a second never gets an operator key through, and delays nobody', async () => {
    emperor.apply('swaps', IDLE);
    const uid = uidOf('swaps');
    const trophy = join(emperor.directory, 'trophy');
    const lines = [
      'import os,sys,time',
      `os.chdir(${JSON.stringify(emperor.vassals)}); os.setgid(${uid}); os.setuid(${uid})`,
      'end = time.time() + 2; n = 0',
      'texts = ["command = sleep %d", "command = sleep 9\\nexec-as-root = touch TROPHY", "uid = 0", "\\0%d"]',
      'while time.time() < end or n % 4 != 1:',
      '    name = ".swap.%d" % (n % 5)',
      '    if os.path.lexists(name): os.unlink(name)',
      '    if n % 7 == 3: os.mkfifo(name)',
      '    elif n % 7 == 5: os.symlink("shop.ini", name)',
      '    else: open(name, "w").write("[vassal]\\n" + texts[n % 4].replace("%d", str(n)) + "\\n")',
      '    os.rename(name, "swaps.ini"); n += 1; time.sleep(0.0005)',
      'open("last", "w").write("[vassal]\\ncommand = sleep 424242\\n"); os.rename("last", "swaps.ini")',
      'print(n)',
    ];
    // In a sticky directory only its owner may replace the file.
    chownSync(emperor.file('swaps'), uid, uid);
    const swapper = spawn('python3', ['-c', lines.join('\n').replace('TROPHY', trophy)]);
    const ended = new Promise((done) => swapper.once('exit', done));
    const began = performance.now();
    emperor.apply('shop', '[vassal]\nenv = SECRET=of-the-shop\ncommand = sleep 99999\n');
    expect(performance.now() - began).toBeLessThan(patienceMs(3000));
    await ended;
    await until('the last content runs', () =>
      emperor
        .cli('exec', 'swaps', '--', 'sh', '-c', 'cat /proc/*/cmdline')
        .stdout.includes('424242'),
    );
    expect(existsSync(trophy)).toBe(false);
    expect(uidOf('swaps')).toBe(uid);
  });
});

describe('an ordinary user of the host', () => {
  const path = (name: string) => join(emperor.directory, name);

  test.each(['run/emperor.sock', 'run/launcher.sock', 'run/vassals/blog/init.sock'])(
    'cannot connect to %s',
    (socket) => {
      const connect = `python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect("${path(socket)}")'`;
      expect(as(65534, connect).stdout).toContain('PermissionError');
      execFileSync('sh', ['-c', connect]);
    },
  );

  test.each(['run', 'state', 'homes/blog', 'log/blog', 'log/blog/current', 'log/emperor.log'])(
    'cannot read %s',
    (place) => {
      expect(as(65534, `cat ${path(place)}/* ${path(place)} `).stdout).toContain(
        'Permission denied',
      );
      expect(existsSync(path(place))).toBe(true);
    },
  );

  test('with the uid of one vassal cannot read home or log of another', () => {
    const uid = uidOf('blog');
    expect(as(uid, `ls ${path('homes/blog')} ${path('log/blog')}`).status).toBe(0);
    expect(as(uid, `ls ${path('homes/shop')}`).status).not.toBe(0);
    expect(as(uid, `ls ${path('log/shop')}`).status).not.toBe(0);
  });

  test('cannot change or read the program that runs as root', () => {
    const program = execFileSync('sh', ['-c', `echo ${path('state/bin')}/*/emperor-init`], {
      encoding: 'utf8',
    }).trim();
    expect(statSync(program)).toMatchObject({ uid: 0, gid: 0 });
    expect(statSync(program).mode & 0o7777).toBe(0o711);
    for (const part of ['state', 'state/bin'])
      expect(statSync(path(part))).toMatchObject({ uid: 0 });
  });

  test.each([
    ['run-dir', 'state-dir', 'belongs to uid 1234', (dir: string) => chownSync(dir, 1234, 1234)],
    ['state-dir', 'run-dir', 'belongs to uid 1234', (dir: string) => chownSync(dir, 1234, 1234)],
    ['homes', 'run-dir', 'everybody can write to it', (dir: string) => chmodSync(dir, 0o1777)],
    ['log-dir', 'run-dir', 'everybody can write to it', (dir: string) => chmodSync(dir, 0o777)],
  ])('who holds %s keeps the emperor from starting', (key, other, message, spoil) => {
    const theirs = path(`theirs-${key}`);
    mkdirSync(theirs);
    spoil(theirs);
    const ini = `${readFileSync(emperor.ini, 'utf8')
      .split('\n')
      .filter((line) => !line.startsWith(`${key} =`) && !line.startsWith(`${other} =`))
      .join('\n')}\n${key} = ${theirs}\n${other} = ${path(`ours-${key}`)}\n`;
    writeFileSync(path('bad.ini'), ini);
    const answer = execFileSync(
      'sh',
      [
        '-c',
        `ip netns exec ${emperor.netns} ${BINARY} run --ini ${path('bad.ini')} 2>&1; echo "status $?"`,
      ],
      { encoding: 'utf8', timeout: patienceMs(20_000) },
    );
    expect(answer).toContain(
      `Cannot trust ${key} ${theirs}: ${message.replace('belongs', 'it belongs')}`,
    );
    expect(answer).toContain('status 77');
  });
});
