/** Customers come in by ssh: a real sshd, real clients, accounts made by `emperor ssh setup`. */
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BINARY } from '../support/emperor.ts';
import { LENT_ENV, SshMachine } from '../support/ssh-machine.ts';
import { until } from '../support/wait.ts';

const CANARY = '7777';
const fileOf = (account: string) => `[vassal]
command = sh -c 'cd /tmp && echo $MARK > mark && exec python3 -m http.server 8080'
tuntap-device = uwsgi0
${LENT_ENV}
env = MARK=${account} inside
ssh-user = ${account}
`;

let m: SshMachine;
let canary: ChildProcess;

beforeAll(async () => {
  m = await SshMachine.make({ router: true });
  await m.emperor.start();
  for (const name of ['blog', 'shop', 'open']) m.emperor.apply(name, fileOf(`c-${name}`));
  // As root does it by hand, and as the command does it.
  const script = m.setUp('shop', 'c-shop').stdout;
  expect(script).toMatch(/^sshd -t && systemctl reload ssh$/m);
  expect(m.run(['sh'], { input: script.replace(/^sshd.*$/m, 'sshd -t') })).toMatchObject({
    ...{ status: 0, stderr: '' },
  });
  expect(m.setUp('blog', 'c-blog', '--write')).toMatchObject({ status: 0, stdout: '' });
  expect(m.setUp('open', 'c-open', '--forward', '--write')).toMatchObject({ status: 0 });
  // Somebody of the host's, who shows what would be possible.
  m.run([
    'useradd',
    '--create-home',
    '--home-dir',
    '/run/plain',
    '-p',
    '*',
    '-s',
    '/bin/sh',
    'plain',
  ]);
  mkdirSync(join(m.emperor.directory, 'tools'));
  m.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', m.keyOf('plain')]);
  for (const [user, home] of [
    ['plain', '/run/plain'],
    ['root', '/run/root'],
  ] as const) {
    const to = user === 'root' ? '/etc/ssh/root.keys' : `${home}/.ssh/authorized_keys`;
    const script = `mkdir -p ${home}/.ssh && cat ${m.keyOf('plain')}.pub > ${to} && chown -R ${user} ${home}`;
    expect(m.run(['sh', '-c', script]).stderr).toBe('');
  }
  m.run([
    'sh',
    '-c',
    'printf "Match User root\\n AuthorizedKeysFile /etc/ssh/root.keys\\n" > /etc/ssh/sshd_config.d/zz.conf',
  ]);
  m.run(['cp', m.keyOf('plain'), m.keyOf('root')]);
  await m.startSshd();
  // The accounts came behind the files that name them.
  for (const name of ['blog', 'shop', 'open']) {
    await until(`${name} can be entered`, () => m.ssh(`c-${name}`, ['true']).status === 0);
  }
  canary = m.spawn(['/usr/bin/python3', '-u', '-m', 'http.server', '-b', '127.0.0.1', CANARY]);
  await until('the canary sings', () => get(`http://127.0.0.1:${CANARY}/`) === '200');
});
afterAll(async () => {
  canary?.kill('SIGKILL');
  await m.close();
});

/** The status of a page as curl on the host gets it; `000` if there is none. */
function get(url: string, ...more: readonly string[]): string {
  const line = ['curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', '-m', '5', ...more, url];
  return m.run(line).stdout;
}

/** The process by which that account is in. */
function loginOf(account: string): number {
  const { stdout } = m.run(['pgrep', '-u', account, '-x', 'emperor-login']);
  const [pid = '', ...others] = stdout.trim().split('\n');
  if (pid === '' || others.length > 0) throw new Error(`logins of ${account}: ${stdout}`);
  return Number(pid);
}

const hasInside = (vassal: string, command: string) =>
  m.emperor.cli('exec', vassal, '--', 'pgrep', '-x', '-f', command).status === 0;

const uidOf = (account: string) => m.run(['id', '-u', account]).stdout.trim();

describe('a customer', () => {
  test('partly M82: runs a command inside without a terminal: output and errors apart, input, exit status', () => {
    const { uid } = m.emperor.status('blog');
    const answer = m.ssh('c-blog', ['id -u; hostname; pwd; echo no >&2; exit 42']);
    expect(answer).toEqual({
      ...{ status: 42, stdout: `${uid}\nblog\n/home/blog\n`, stderr: 'no\n' },
    });
    expect(m.ssh('c-blog', ['kill -TERM $$']).status).toBe(143);
    expect(m.ssh('c-blog', ['none']).status).toBe(127);
    const bytes = randomBytes(1 << 20);
    const [sum] = m.run(['sha256sum'], { input: bytes }).stdout.split(' ');
    expect(m.ssh('c-blog', ['sha256sum'], bytes).stdout).toContain(sum);
  });

  test('M80: has a login shell by two terminals in a chain: keys go raw, sizes and signals are told', async () => {
    const line = m.sshLine('c-blog', [], ['-tt']).map((word) => `'${word}'`);
    const setting = 'stty cols 90 rows 20';
    const child = m.spawn(['script', '-qefc', `${setting}; exec ${line.join(' ')}`, '/dev/null']);
    const ended = new Promise((done) => child.once('close', done));
    let text = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    const heard = (what: RegExp) => until(`${what} is heard`, () => what.test(text));
    child.stdin?.write('PS1=; tty; stty size; shopt login_shell; echo $TERM\r');
    await heard(/\/dev\/pts\/0\r\n20 90\r\nlogin_shell\s+on\r\nxterm\r\n/);
    child.stdin?.write("trap 'stty size' WINCH; echo se''t\r");
    await heard(/set\r\n/);
    const [ssh = ''] = m
      .run(['pgrep', '-P', `${child.pid}`])
      .stdout.trim()
      .split('\n');
    m.run(['sh', '-c', `stty cols 66 rows 11 < /proc/${ssh}/fd/0`]);
    // bash runs a trap when a line has ended, if the signal came before it began to read.
    const enterUntil = (what: RegExp) =>
      until(`${what} is heard`, () => {
        child.stdin?.write('\r');
        return what.test(text);
      });
    await enterUntil(/11 66\r\n/);
    child.stdin?.write("trap 'echo us''r1' USR1; echo also se''t\r");
    await heard(/also set\r\n/);
    process.kill(loginOf('c-blog'), 'SIGUSR1');
    await enterUntil(/usr1\r\n/);
    child.stdin?.write('sleep 1234\r');
    await until('it sleeps', () => hasInside('blog', 'sleep 1234'));
    child.stdin?.write('\u0003');
    child.stdin?.write('echo status $?; exit 7\r');
    await heard(/status 130\r\n/);
    expect(await ended).toBe(7);
  });

  test.each([
    ['scp', ['scp', '-q']],
    ['scp of the old protocol', ['scp', '-q', '-O']],
  ])('partly M82: copies files by %s', (_, [file = '', ...how]) => {
    const there = join(m.emperor.directory, 'tools', 'bytes');
    writeFileSync(there, randomBytes(300_000));
    const options = [...m.options('c-blog'), '-P', '2222'];
    const copy = (from: string, to: string) => m.run([file, ...how, ...options, from, to]);
    expect(copy(there, 'c-blog@127.0.0.1:copied')).toMatchObject({ status: 0, stderr: '' });
    expect(copy('c-blog@127.0.0.1:copied', `${there}.back`)).toMatchObject({ status: 0 });
    expect(readFileSync(`${there}.back`).equals(readFileSync(there))).toBe(true);
    const inside = statSync(join(m.emperor.directory, 'homes/blog/copied'));
    expect(inside.uid).toBe(m.emperor.status('blog').uid);
  });

  test('partly M82: works with sftp, which sees nothing but the vassal', () => {
    const batch = 'put /etc/hostname from-host\nls /\nget /etc/shadow /dev/null\n';
    const { stdout, stderr } = m.run(
      ['sftp', '-q', ...m.options('c-blog'), '-P', '2222', '-b', '-', 'c-blog@127.0.0.1'],
      { input: batch },
    );
    expect(stdout).toMatch(/\/home/);
    expect(stderr).toMatch(/shadow/);
    expect(existsSync(join(m.emperor.directory, 'homes/blog/from-host'))).toBe(true);
  });

  test('synchronises a tree by rsync', () => {
    const tree = join(m.emperor.directory, 'tools', 'tree');
    mkdirSync(join(tree, 'a/b'), { recursive: true });
    writeFileSync(join(tree, 'a/b/c'), 'deep');
    const shell = ['ssh', ...m.options('c-blog'), '-p', '2222'].join(' ');
    const answer = m.run(['rsync', '-a', '-e', shell, `${tree}/`, 'c-blog@127.0.0.1:tree']);
    expect(answer).toMatchObject({ status: 0, stderr: '' });
    const there = join(m.emperor.directory, 'homes/blog/tree/a/b/c');
    expect(readFileSync(there, 'utf8')).toBe('deep');
  });

  test('partly M82: shows up in status, and is gone from it and the vassal when the client is killed', async () => {
    const child = m.spawn(m.sshLine('c-blog', ['trap "" HUP; sleep 4321'], ['-tt']));
    const sessions = () => {
      const { processes } = m.emperor.status('blog');
      return processes.filter(({ kind }) => kind === 'session').map(({ label }) => label);
    };
    await until('the session is there', () => sessions().join() === 'ssh');
    child.kill('SIGKILL');
    await until('it is gone', () => sessions().length === 0);
    expect(m.ssh('c-blog', ['pgrep -f "[s]leep 4321"']).stdout).toBe('');
  });

  test('stays in while the emperor is killed, comes in without one, and with the next', async () => {
    const child = m.spawn(m.sshLine('c-blog', ['cat']));
    let text = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    const echo = async (word: string) => {
      child.stdin?.write(`${word}\n`);
      await until(`${word} comes back`, () => text.includes(`${word}\n`));
    };
    await echo('before');
    await m.emperor.signal('SIGKILL');
    await echo('meanwhile');
    expect(m.ssh('c-blog', ['echo in']).stdout).toBe('in\n');
    await m.emperor.start();
    await echo('after');
    await until('the door is open', () => m.ssh('c-blog', ['echo in']).stdout === 'in\n');
    child.stdin?.end();
    expect(await new Promise((done) => child.once('close', done))).toBe(0);
  });
});

describe('forwarding', () => {
  const url = `http://127.0.0.1:${CANARY}/`;
  /** Holds a connection with these options, and says what `probe` sees meanwhile. */
  async function during(
    account: string,
    options: readonly string[],
    probe: () => string,
  ): Promise<string> {
    const child = m.spawn(m.sshLine(account, [], ['-N', ...options]));
    let errors = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      errors += chunk.toString();
    });
    const ended = new Promise((done) => child.once('close', done));
    try {
      const isUp = () => m.run(['ss', '-ltn']).stdout.includes(':9999 ');
      await until('it listens, or has given up', () => child.exitCode !== null || isUp());
      return child.exitCode === null ? probe() : `gave up: ${errors.trim()}`;
    } finally {
      child.kill('SIGKILL');
      await ended;
    }
  }
  const ways = (
    target: string,
  ): readonly (readonly [string, readonly string[], () => string])[] => [
    ['-L', ['-L', `9999:${target}`], () => get('http://127.0.0.1:9999/')],
    ['-D', ['-D', '9999'], () => get(`http://${target}/`, '--socks5', '127.0.0.1:9999')],
    ['-R', ['-R', `9999:${target}`], () => get('http://127.0.0.1:9999/')],
  ];

  test('to the host is closed in every direction, which is possible for others', async () => {
    for (const [name, options, probe] of ways(`127.0.0.1:${CANARY}`)) {
      expect([name, await during('plain', options, probe)]).toEqual([name, '200']);
      for (const account of ['c-blog', 'c-open']) {
        expect([name, await during(account, options, probe)]).not.toEqual([name, '200']);
      }
    }
    const pipe = (account: string) =>
      m.run(m.sshLine(account, [], ['-W', `127.0.0.1:${CANARY}`]), {
        input: 'GET / HTTP/1.0\r\n\r\n',
      }).stdout;
    expect(pipe('plain')).toContain('200 OK');
    for (const account of ['c-blog', 'c-open']) expect(pipe(account)).toBe('');
    expect(get(url)).toBe('200');
  });

  test("to the vassal's own address is open where it was asked for, and nowhere else", async () => {
    const address = m.emperor.status('open').address;
    const other = m.emperor.status('blog').address;
    const mark = () => m.run(['curl', '-s', '-m', '5', 'http://127.0.0.1:9999/mark']).stdout.trim();
    const to = (target: string | null) => ['-L', `9999:${target}:8080`];
    await until('it serves', () => get(`http://${address}:8080/mark`) === '200');
    await until('the other serves', () => get(`http://${other}:8080/mark`) === '200');
    expect(await during('c-open', to(address), mark)).toBe('c-open inside');
    expect(await during('c-open', to(other), mark)).toBe('');
    expect(await during('c-blog', to(other), mark)).toBe('');
  });

  test('of agents and unix sockets is closed too', () => {
    const settings = m.run(['sshd', '-T', '-C', 'user=c-open,host=x,addr=127.0.0.1']).stdout;
    for (const line of [
      'allowagentforwarding no',
      'allowstreamlocalforwarding no',
      'x11forwarding no',
      'permittunnel no',
      'permituserrc no',
      'allowtcpforwarding local',
      'passwordauthentication no',
    ]) {
      expect(settings.split('\n')).toContain(line);
    }
  });
});

describe('nobody gets where he should not', () => {
  test('U22: the snippets are about their accounts alone, and root stays on the host', () => {
    const settings = m.run(['sshd', '-T', '-C', 'user=root,host=x,addr=127.0.0.1']).stdout;
    expect(settings).toMatch(/^forcecommand none$/m);
    const net = m.run(['readlink', '/proc/self/ns/net']).stdout;
    expect(m.ssh('root', ['readlink /proc/self/ns/net']).stdout).toBe(net);
    expect(m.ssh('c-blog', ['readlink /proc/self/ns/net']).stdout).not.toBe(net);
    const door = join(m.emperor.directory, 'run/doors/blog.sock');
    const login = ['/usr/local/lib/emperor/emperor-login', '-c', `door ${door}`];
    expect(m.run(login)).toMatchObject({ status: 125 });
    expect(m.emperor.write('bad', '[vassal]\nssh-user = root\n')).toBeDefined();
    expect(m.emperor.cli('check', m.emperor.file('bad')).status).not.toBe(0);
    m.emperor.remove('bad');
  });

  test('partly M82: one account cannot use the door of another, nor see what is beside the doors', () => {
    const as = (account: string, ...command: readonly string[]) =>
      m.run(['setpriv', `--reuid=${uidOf(account)}`, '--clear-groups', '--', ...command]);
    const doors = join(m.emperor.directory, 'run/doors');
    const enter = (name: string) =>
      as('c-shop', '/usr/local/lib/emperor/emperor-login', '-c', `door ${doors}/${name}.sock`);
    expect(enter('shop').status).toBe(0);
    expect(enter('blog')).toMatchObject({
      ...{ status: 125, stderr: expect.stringContaining('Permission denied') },
    });
    for (const path of ['run', 'run/doors', 'run/vassals', 'run/emperor.sock', 'state']) {
      const { status } = as('c-shop', 'cat', join(m.emperor.directory, path));
      expect([path, status]).toEqual([path, 1]);
    }
    expect(as('c-shop', 'ls', doors).status).not.toBe(0);
    expect(readdirSync(doors).sort()).toEqual(['blog.sock', 'open.sock', 'shop.sock']);
  });

  test('an account whose lines in sshd_config are lost gets nowhere', async () => {
    const snippet = '/etc/ssh/sshd_config.d/emperor-c-shop.conf';
    m.run([
      'sh',
      '-c',
      `mv ${snippet} /etc/ssh/kept && printf 'Match User c-shop\\n AuthorizedKeysFile /etc/ssh/emperor/c-shop.keys\\n' > ${snippet}`,
    ]);
    await m.reload();
    for (const command of [[], ['id'], ['door /etc/passwd']]) {
      const { status, stdout } = m.ssh('c-shop', command);
      expect([command, status, stdout]).toEqual([command, 125, '']);
    }
    m.run(['mv', '/etc/ssh/kept', snippet]);
    await m.reload();
    expect(m.ssh('c-shop', ['echo in']).stdout).toBe('in\n');
  });

  test('the door opens and closes with its line, and nothing restarts', async () => {
    const { pid } = m.emperor.status('shop');
    const without = fileOf('c-shop').replace(/^ssh-user.*$/m, '');
    const child = m.spawn(m.sshLine('c-shop', ['sleep 1000']));
    const ended = new Promise((done) => child.once('close', done));
    await until('he is in', () =>
      m.emperor.status('shop').processes.some(({ kind }) => kind === 'session'),
    );
    m.emperor.apply('shop', without);
    await ended;
    expect(m.ssh('c-shop', ['true'])).toMatchObject({
      ...{ status: 125, stderr: expect.stringContaining('this system is not running') },
    });
    m.emperor.apply('shop', fileOf('c-nobody'));
    const conditions = () => m.emperor.stats().conditions.join('\n');
    await until('a condition says so', () => /ssh-user c-nobody is no user/.test(conditions()));
    m.emperor.apply('shop', fileOf('c-shop'));
    await until('he comes in again', () => m.ssh('c-shop', ['echo in']).stdout === 'in\n');
    expect(conditions()).not.toMatch(/c-nobody/);
    expect(m.emperor.status('shop').pid).toBe(pid);
  });

  test('the door goes with its vassal', async () => {
    const door = join(m.emperor.directory, 'run/doors/shop.sock');
    m.emperor.cli('stop', 'shop');
    await until('it is gone', () => !existsSync(door));
    expect(m.ssh('c-shop', ['true']).status).toBe(125);
    m.emperor.cli('start', 'shop');
    await until('it is back', () => m.ssh('c-shop', ['echo in']).stdout === 'in\n');
  });
});

test("U20, U24: a login, exec and a service of the host's own come to the network of a vassal, all of them unprivileged", () => {
  const { pid } = m.emperor.status('blog');
  const net = readlinkSync(`/proc/${pid}/ns/net`);
  const where = ['sh', '-c', 'readlink /proc/self/ns/net; id -u'];
  expect(m.ssh('c-blog', ['readlink /proc/self/ns/net']).stdout).toBe(`${net}\n`);
  const { uid } = m.emperor.status('blog');
  expect(m.emperor.cli('exec', 'blog', '--', ...where).stdout).toBe(`${net}\n${uid}\n`);
  const name = `${m.emperor.netns}-blog`;
  m.run(['ip', 'netns', 'attach', name, `${pid}`]);
  try {
    const enter = ['nsenter', `--net=/run/netns/${name}`, 'setpriv', `--reuid=${uidOf('plain')}`];
    expect(m.run([...enter, ...where]).stdout).toBe(`${net}\n${uidOf('plain')}\n`);
    const { stdout } = m.run([...enter, 'curl', '-s', 'http://127.0.0.1:8080/mark']);
    expect(stdout).toBe('c-blog inside\n');
  } finally {
    m.run(['ip', 'netns', 'del', name]);
  }
});

describe('on the way in', () => {
  test('M77, M79: a login is an account of the host, whose processes enter no namespace of the vassal, nor could', async () => {
    const child = m.spawn(m.sshLine('c-blog', ['exec sleep 4324']));
    await until('he is in', () => hasInside('blog', 'sleep 4324'));
    const login = loginOf('c-blog');
    const status = readFileSync(`/proc/${login}/status`, 'utf8');
    expect(status).toMatch(new RegExp(`^Uid:\t${uidOf('c-blog')}\t${uidOf('c-blog')}\t`, 'm'));
    // setns(2) wants CAP_SYS_ADMIN.
    expect(status).toMatch(/^CapEff:\t0+$/m);
    expect(status).toMatch(/^CapPrm:\t0+$/m);
    const session = m.emperor.status('blog').processes.find(({ kind }) => kind === 'session');
    const { pid } = m.emperor.status('blog');
    for (const kind of ['ipc', 'mnt', 'net', 'pid', 'uts']) {
      const [outside, inside] = [login, session?.pid].map((one) => namespaceOf(one ?? 0, kind));
      expect([kind, outside]).toEqual([
        kind,
        m.run(['readlink', `/proc/self/ns/${kind}`]).stdout.trim(),
      ]);
      expect([kind, inside]).toEqual([kind, namespaceOf(pid ?? 0, kind)]);
      expect(inside).not.toBe(outside);
    }
    child.kill('SIGKILL');
    await until('he is gone', () => !hasInside('blog', 'sleep 4324'));
  });

  test('M78: each connection has a new terminal of the vassal, and the shell that its file names', async () => {
    const { pid } = m.emperor.status('shop');
    const say = 'tty; readlink /proc/$$/exe; stat -c %U $(tty)';
    const first = talk(m.sshLine('c-shop', [], ['-tt']));
    await first.says(say, /\/dev\/pts\/0\r\n\/usr\/bin\/bash\r\nshop\r$/m);
    const second = talk(m.sshLine('c-shop', [], ['-tt']));
    await second.says(say, /\/dev\/pts\/1\r\n\/usr\/bin\/bash\r\nshop\r$/m);
    m.emperor.apply('shop', `${fileOf('c-shop')}shell = /bin/dash\n`);
    await until(
      'the door is open',
      () => m.ssh('c-shop', ['readlink /proc/$$/exe']).stdout === '/usr/bin/dash\n',
    );
    const third = talk(m.sshLine('c-shop', [], ['-tt']));
    await third.says(say, /\/dev\/pts\/2\r\n\/usr\/bin\/dash\r\nshop\r$/m);
    await first.says('echo still $0', /^still \/bin\/bash\r$/m);
    for (const one of [first, second, third]) expect(await one.leaves()).toBe(0);
    expect(m.emperor.status('shop').pid).toBe(pid);
    m.emperor.apply('shop', fileOf('c-shop'));
  });

  test('U19, U23: whatever begins in a vassal, by whom and whenever, is in its network, several at once', async () => {
    const say = (who: string) => `echo ${who} $(readlink /proc/self/ns/net) >> ~/nets`;
    const file = `[vassal]
command = sh -c '${say('command')}; exec sleep 1000'
attach-daemon = sh -c '${say('daemon')}; setsid sh -c "${say('child')}; exec sleep 1000" & exec sleep 1000'
cron = @reboot ${say('cron')}
exec-post-app = ${say('hook')}
tuntap-device = uwsgi0
ssh-user = c-net
`;
    m.emperor.apply('net', file);
    expect(m.setUp('net', 'c-net', '--write').status).toBe(0);
    await m.reload();
    const input = `@reboot ${say('crontab')}\n`;
    expect(m.emperor.cliWith({ input }, 'cron', 'set', 'net').status).toBe(0);
    m.emperor.cli('exec', 'net', '--', 'rm', 'nets');
    await until('its crontab is read', () => m.emperor.status('net').crontab?.jobs === 1);
    m.emperor.cli('restart', 'net');
    await until('he can come in', () => m.ssh('c-net', ['true']).status === 0);
    const sessions = [1, 2].map(() => talk(m.sshLine('c-net', [], ['-tt'])));
    for (const one of sessions) await one.says(`${say('ssh')}; echo do''ne`, /^done\r$/m);
    m.emperor.cli('exec', 'net', '--', 'sh', '-c', say('exec'));
    const shell = talk([
      'script',
      '-qefc',
      `${BINARY} --ini ${m.emperor.ini} shell net`,
      '/dev/null',
    ]);
    await shell.says(`${say('shell')}; echo do''ne`, /^done\r$/m);

    const lines = () =>
      readFileSync(join(m.emperor.directory, 'homes/net/nets'), 'utf8').trim().split('\n');
    const all = [
      'child',
      'command',
      'cron',
      'crontab',
      'daemon',
      'exec',
      'hook',
      'shell',
      'ssh',
      'ssh',
    ];
    await until('all have spoken', () => lines().length === all.length);
    const net = namespaceOf(m.emperor.status('net').pid ?? 0, 'net');
    expect(lines().toSorted()).toEqual(all.map((who) => `${who} ${net}`));
    expect(net).not.toBe(m.run(['readlink', '/proc/self/ns/net']).stdout.trim());
    for (const one of [...sessions, shell]) expect(await one.leaves()).toBe(0);
  });

  test('U44: keys are given from outside, all that count at once; the vassal has the shell that is chosen', () => {
    const keys = ['one', 'two'].map((name) => {
      m.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', m.keyOf(name)]);
      return m.keyOf(name);
    });
    const give = (...files: readonly string[]) =>
      m.run([
        ...[BINARY, '--ini', m.emperor.ini, 'ssh', 'setup', 'shop', '--user', 'c-shop', '--write'],
        ...files.flatMap((file) => ['--key', `${file}.pub`]),
      ]);
    const comesIn = (key: string) =>
      m.run(
        m.sshLine('c-shop', ['echo in']).map((word) => (word === m.keyOf('c-shop') ? key : word)),
      ).stdout === 'in\n';
    expect(give(...keys)).toMatchObject({ status: 0 });
    expect([...keys, m.keyOf('c-shop')].map(comesIn)).toEqual([true, true, false]);
    expect(give(m.keyOf('c-shop'))).toMatchObject({ status: 0 });
    expect([...keys, m.keyOf('c-shop')].map(comesIn)).toEqual([false, false, true]);
    m.emperor.apply('shop', `${fileOf('c-shop')}shell = /bin/dash\n`);
    const shell = () => m.ssh('c-shop', ['echo $SHELL; readlink /proc/$$/exe']).stdout;
    expect(shell()).toBe('/bin/dash\n/usr/bin/dash\n');
    m.emperor.cli('restart', 'shop');
    const entry = m.emperor.cli('exec', 'shop', '--', 'grep', '^shop:', '/etc/passwd').stdout;
    expect(entry).toMatch(/:\/bin\/dash$/m);
    m.emperor.apply('shop', fileOf('c-shop'));
  });
});

const namespaceOf = (pid: number, kind: string) => readlinkSync(`/proc/${pid}/ns/${kind}`);

/** Somebody who types on a terminal. */
function talk(line: readonly string[]) {
  const child = m.spawn(line);
  const ended = new Promise((done) => child.once('close', done));
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  return {
    /** Types a line and waits for what is said then. */
    async says(typed: string, answer: RegExp) {
      text = '';
      child.stdin?.write(`${typed}\r`);
      try {
        await until(`${answer} is said`, () => answer.test(text));
      } catch (cause) {
        throw new Error(`${answer} was not said: ${JSON.stringify(text)}`, { cause });
      }
    },
    leaves() {
      child.stdin?.write('exit 0\r');
      return ended;
    },
  };
}

describe('emperor ssh setup', () => {
  test('can be done again, and takes no account that is there for something else', () => {
    expect(m.setUp('blog', 'c-blog', '--write')).toMatchObject({ status: 0 });
    expect(m.ssh('c-blog', ['echo in']).stdout).toBe('in\n');
    const { status, stderr } = m.setUp('blog', 'plain', '--write');
    expect([status, stderr]).toEqual([1, expect.stringContaining('has the shell /bin/sh')]);
    expect(m.run(['ls', '/etc/ssh/emperor']).stdout).not.toContain('plain');
  });

  test('takes back what sshd refuses', () => {
    m.run(['sh', '-c', 'echo Nonsense >> /etc/ssh/sshd_config']);
    const { status, stderr } = m.setUp('blog', 'c-late', '--write');
    m.run(['sed', '-i', '/^Nonsense/d', '/etc/ssh/sshd_config']);
    expect([status, stderr]).toEqual([1, expect.stringContaining('Nonsense')]);
    expect(m.run(['ls', '/etc/ssh/sshd_config.d']).stdout).not.toContain('c-late');
    expect(m.run(['sshd', '-t']).status).toBe(0);
  });

  test('takes back what sshd does not read', () => {
    m.run(['sed', '-i', 's/^Include/#Include/', '/etc/ssh/sshd_config']);
    const { status, stderr } = m.setUp('blog', 'c-late', '--write');
    m.run(['sed', '-i', 's/^#Include/Include/', '/etc/ssh/sshd_config']);
    expect(status).toBe(1);
    expect(stderr).toMatch(/c-late has the ForceCommand none; have it `Include \/etc\/ssh/);
    expect(m.run(['ls', '/etc/ssh/sshd_config.d']).stdout).not.toContain('c-late');
    expect(m.setUp('blog', 'c-late', '--write').status).toBe(0);
  });
});

test('this machine is left as it was', () => {
  expect(readFileSync('/etc/passwd', 'utf8')).not.toContain('c-blog');
  expect(existsSync('/etc/ssh/emperor')).toBe(false);
  expect(existsSync('/usr/local/lib/emperor')).toBe(false);
});
