/** M4, M9: real redis and memcached as private services of two vassals on the same ports; neither reaches the other's. */
import { execFileSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestEmperor, until } from '../support/emperor.ts';
import { copyPrograms } from '../support/host-programs.ts';

const REDIS = 6379;
const MEMCACHED = 11_211;
const NAMES = ['a', 'b'] as const;

let emperor: TestEmperor;
const status = (name: string) => emperor.status(name);
const pidOf = (name: string, label: string) =>
  status(name).processes.find((one) => one.label === label && one.state === 'running')?.pid;

/** redis stays in the foreground and keeps its data in the home; memcached puts itself into the background. */
const file = (greeting: string) => `[vassal]
command = sleep 1000
env = LD_LIBRARY_PATH=/opt/lib
env = GREETING=${greeting}
tuntap-device = uwsgi0
attach-daemon2 = cmd=/opt/bin/redis-server --bind 0.0.0.0 --protected-mode no --save 3600 1,chdir=.
smart-attach-daemon = /run/memcached.pid /opt/bin/memcached -d -l 0.0.0.0 -P /run/memcached.pid
ready = port:${MEMCACHED}
`;

beforeAll(async () => {
  emperor = new TestEmperor();
  const opt = join(emperor.directory, 'programs');
  copyPrograms(opt, {
    programs: ['/usr/bin/redis-server', '/usr/bin/redis-cli', '/usr/bin/memcached'],
    distro: resolve('distros/bookworm'),
  });
  emperor.writeIni({
    router: true,
    ini: `opt = ${opt}
emperor-throttle = 20
tuntap-router-firewall-in = allow 10.77.0.1 10.77.0.0/24
tuntap-router-firewall-in = deny 10.77.0.0/24 10.77.0.0/24
tuntap-router-firewall-in = deny fd77::/64 fd77::/64`,
  });
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
  test('are each their own: what one vassal keeps the other does not have', () => {
    for (const name of NAMES) expect(redis(name, 'set', 'owner', name)).toBe('OK');
    expect(NAMES.map((name) => redis(name, 'get', 'owner'))).toEqual(['a', 'b']);
    ask('a', '127.0.0.1', MEMCACHED, 'set k 0 0 1\r\na');
    expect(ask('a', '127.0.0.1', MEMCACHED, 'get k')).toContain('VALUE k 0 1');
    expect(ask('b', '127.0.0.1', MEMCACHED, 'get k')).toBe('END');
  });

  test.each([
    ['redis', REDIS, 'PING', '+PONG'],
    ['memcached', MEMCACHED, 'mn', 'MN'],
  ])(
    '%s is reached by its vassal and the host at its address, and not by the other vassal',
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
    process.kill(mine ?? 0, 'SIGKILL');
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
});
