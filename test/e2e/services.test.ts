/** M4, M9: real redis, memcached and beanstalkd as private services of two vassals on the same ports; neither reaches the other's. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestEmperor, until } from '../support/emperor.ts';
import { copyPrograms } from '../support/host-programs.ts';
import { signal } from '../support/proc.ts';

const REDIS = 6379;
const MEMCACHED = 11_211;
const BEANSTALKD = 11_300;
const NAMES = ['a', 'b'] as const;

let emperor: TestEmperor;
const status = (name: string) => emperor.status(name);
const pidOf = (name: string, label: string) =>
  status(name).processes.find((one) => one.label === label && one.state === 'running')?.pid;

/** redis and beanstalkd stay in the foreground; redis keeps its data in the home; memcached goes into the background. */
const file = (greeting: string) => `[vassal]
command = sleep 1000
env = LD_LIBRARY_PATH=/opt/lib
env = GREETING=${greeting}
tuntap-device = uwsgi0
attach-daemon = /opt/bin/beanstalkd
attach-daemon2 = cmd=/opt/bin/redis-server --bind 0.0.0.0 --protected-mode no --save 3600 1,chdir=.
smart-attach-daemon = /run/memcached.pid /opt/bin/memcached -d -l 0.0.0.0 -P /run/memcached.pid
ready = port:${MEMCACHED}
`;

/** Writes emperor.ini with these rules for what is sent to vassals. */
function configure(rules: readonly string[]): void {
  emperor.writeIni({
    router: true,
    ini: [
      `opt = ${join(emperor.directory, 'programs')}`,
      'emperor-throttle = 20',
      ...rules.map((rule) => `tuntap-router-firewall-in = ${rule}`),
    ].join('\n'),
  });
}

beforeAll(async () => {
  emperor = new TestEmperor();
  copyPrograms(join(emperor.directory, 'programs'), {
    programs: [
      ...['/usr/bin/redis-server', '/usr/bin/redis-cli', '/usr/bin/memcached'],
      '/usr/bin/beanstalkd',
      ...['/usr/sbin/sshd', '/usr/bin/ssh', '/usr/bin/ssh-keygen'],
    ],
    distro: resolve('distros/bookworm'),
  });
  configure([
    'allow 10.77.0.1 10.77.0.0/24',
    'deny 10.77.0.0/24 10.77.0.0/24',
    'deny fd77::/64 fd77::/64',
  ]);
  await emperor.start();
  for (const name of NAMES) emperor.write(name, file('hello'));
  for (const name of NAMES) emperor.wait(name, 'ready', '20s');
  await until('redis answers', () => NAMES.every((name) => redis(name, 'ping') === 'PONG'));
});
afterAll(() => emperor.close());

const redis = (name: string, ...words: readonly string[]) =>
  emperor.cli('exec', name, '--', '/opt/bin/redis-cli', ...words).stdout.trim();

const ASK = `import socket, sys
host, port, text = sys.argv[1], int(sys.argv[2]), sys.argv[3]
try:
    with socket.create_connection((host, port), 1.5) as s:
        s.sendall(text.encode() + b'\\r\\n')
        print(s.recv(1000).decode().strip())
except OSError as error: print(type(error).__name__)
`;

/** What a service answers to one line, asked inside of a vassal or on the host. */
function ask(place: string, host: string, port: number, line: string): string {
  const argv = ['python3', '-c', ASK, host, String(port), line];
  if (place !== 'host') return emperor.cli('exec', place, '--', ...argv).stdout.trim();
  const [, ...rest] = argv;
  return execFileSync('ip', ['netns', 'exec', emperor.netns, '/usr/bin/python3', ...rest], {
    encoding: 'utf8',
  }).trim();
}

const addressOf = (name: string) => (status(name).address ?? '').replace(/\/.*/, '');

describe('services on the same ports', () => {
  test('M4: redis, memcached and beanstalkd are each their own: what one vassal keeps the other does not have', () => {
    for (const name of NAMES) expect(redis(name, 'set', 'owner', name)).toBe('OK');
    expect(NAMES.map((name) => redis(name, 'get', 'owner'))).toEqual(['a', 'b']);
    ask('a', '127.0.0.1', MEMCACHED, 'set k 0 0 1\r\na');
    expect(ask('a', '127.0.0.1', MEMCACHED, 'get k')).toContain('VALUE k 0 1');
    expect(ask('b', '127.0.0.1', MEMCACHED, 'get k')).toBe('END');
    expect(ask('a', '127.0.0.1', BEANSTALKD, 'put 0 0 60 1\r\na')).toBe('INSERTED 1');
    expect(ask('a', '127.0.0.1', BEANSTALKD, 'peek-ready')).toBe('FOUND 1 1\r\na');
    expect(ask('b', '127.0.0.1', BEANSTALKD, 'peek-ready')).toBe('NOT_FOUND');
  });

  test.each([
    ['redis', REDIS, 'PING', '+PONG'],
    ['memcached', MEMCACHED, 'mn', 'MN'],
    ['beanstalkd', BEANSTALKD, 'list-tube-used', 'USING default'],
  ])(
    'M9: %s is reached by its vassal and the host at its address, and not by the other vassal',
    (_, port, line, answer) => {
      const [own, other] = [addressOf('a'), addressOf('b')];
      expect(own).toMatch(/^10\.77\.0\.\d+$/);
      expect(ask('a', own, port, line)).toBe(answer);
      expect(ask('host', own, port, line)).toBe(answer);
      expect(ask('host', other, port, line)).toBe(answer);
      expect(ask('b', own, port, line)).toBe('TimeoutError');
      expect(ask('a', other, port, line)).toBe('TimeoutError');
    },
  );

  test('have their own labels in status and log, and belong to the tenant', () => {
    const { processes, uid } = status('a');
    expect(processes.map(({ label, kind }) => [label, kind])).toEqual([
      ['command', 'command'],
      ['beanstalkd', 'daemon'],
      ['redis-server', 'daemon'],
      ['memcached', 'daemon'],
    ]);
    expect(emperor.cli('logs', 'a', '--label', 'redis-server').stdout).toContain('Ready to accept');
    const pid = pidOf('a', 'memcached') ?? 0;
    expect(execFileSync('ps', ['-o', 'uid=', '-p', String(pid)], { encoding: 'utf8' }).trim()).toBe(
      String(uid),
    );
  });

  test('what is killed in one vassal is not missed in the other', async () => {
    const [mine, theirs] = [pidOf('a', 'redis-server'), pidOf('b', 'redis-server')];
    signal(mine, 'SIGKILL');
    await until('it answers again', () => redis('a', 'ping') === 'PONG');
    expect(pidOf('a', 'redis-server')).not.toBe(mine);
    expect(pidOf('b', 'redis-server')).toBe(theirs);
  });

  test('a reload of the command keeps what memcached holds; a restart of the vassal keeps what redis saves at its end', async () => {
    expect(redis('a', 'set', 'kept', 'yes')).toBe('OK');
    ask('a', '127.0.0.1', MEMCACHED, 'set k 0 0 1\r\nx');
    emperor.apply('a', file('good evening'));
    expect(ask('a', '127.0.0.1', MEMCACHED, 'get k')).toContain('VALUE k 0 1');
    expect(emperor.cli('restart', 'a').status).toBe(0);
    emperor.wait('a', 'ready', '20s');
    await until('redis answers', () => redis('a', 'get', 'kept') === 'yes');
    expect(ask('a', '127.0.0.1', MEMCACHED, 'get k')).toBe('END');
  });

  test('are reached by another vassal where a rule allows it, redis as well as ssh, and by ssh from the host', async () => {
    configure(['allow 0.0.0.0 10.77.0.0/24', 'deny']);
    const own = addressOf('a');
    await until('the rule is there', () => ask('b', own, REDIS, 'PING') === '+PONG');
    emperor.cli('exec', 'b', '--', 'sh', '-c', '/opt/bin/ssh-keygen -q -t ed25519 -N "" -f ~/key');
    const read = (path: string) => readFileSync(path, 'utf8');
    const home = (name: string) => join(emperor.directory, 'homes', name);
    const script = `echo '${read(join(home('b'), 'key.pub')).trim()}' > ~/authorized
/opt/bin/ssh-keygen -q -t ed25519 -N "" -f ~/host
/opt/bin/sshd -f /dev/null -h ~/host -p 2222 -o PidFile=none -o StrictModes=no -o AuthorizedKeysFile=$HOME/authorized`;
    const started = emperor.cli('exec', 'a', '--', 'sh', '-c', script);
    expect(started).toMatchObject({ status: 0 });
    const ssh = (program: string, key: string) =>
      `${program} -i ${key} -p 2222 -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null a@${own} 'hostname; cat' 2>/dev/null`;
    const fromVassal = emperor.cliWith(
      { input: 'across' },
      ...['exec', 'b', '--', 'sh', '-c', ssh('/opt/bin/ssh', '~/key')],
    );
    expect(fromVassal.stdout).toBe('a\nacross');
    const command = ssh('ssh', join(home('b'), 'key'));
    const fromHost = execFileSync('ip', ['netns', 'exec', emperor.netns, 'sh', '-c', command], {
      input: 'down',
      encoding: 'utf8',
    });
    expect(fromHost).toBe('a\ndown');
  });
});
