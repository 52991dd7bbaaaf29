import { describe, expect, test } from 'vitest';
import {
  brief,
  EMPEROR_FILE,
  emperorOf,
  loadEmperor,
  resolve,
} from '../../support/configuration.ts';

function errors(...source: Parameters<typeof loadEmperor>): readonly string[] {
  return brief(loadEmperor(...source).diagnostics);
}

const OWN = '[emperor]\nvassals = v\n';

describe('loadEmperorConfig()', () => {
  test('has a default for all but the directory of vassals', () => {
    const { config, diagnostics } = loadEmperor('[emperor]\nemperor = vassals\n');
    expect(diagnostics).toEqual([]);
    expect(config).toEqual({
      file: EMPEROR_FILE,
      vassalDirectories: ['/etc/emperor/vassals'],
      distrosDirectory: '/distros',
      distros: ['bookworm', 'trixie'],
      defaultDistro: null,
      homesDirectory: '/srv/vassals',
      runDirectory: '/run/emperor',
      stateDirectory: '/var/lib/emperor',
      logDirectory: '/var/log/emperor',
      optDirectory: null,
      namespaces: ['fs', 'ipc', 'uts', 'net', 'pid'],
      trustedOwners: [0],
      socketGroup: null,
      socketMode: 0o600,
      uidRange: { first: 200_000, last: 265_535 },
      settleMs: 10,
      startLimit: null,
      hookTimeoutMs: 30_000,
      dns: [],
      router: null,
      routerAddress: null,
      routerAddress6: null,
      firewallIn: [],
      firewallOut: [],
      firewallPolicy: 'allow',
      uwsgiRouters: [],
      nat: 'off',
      natDeny: [
        { network: { family: 4, words: [0xa9fe0000], length: 16 } },
        { network: { family: 6, words: [0xfd000ec2, 0, 0, 0x254], length: 128 } },
        { protocol: 'tcp', port: 25 },
      ],
      vassalsStartHook: [],
      vassalsStopHook: [],
      execAsRoot: [],
      throttleMs: 500,
      maxThrottleMs: 180_000,
      cgroupParent: 'emperor',
      logLevel: 'info',
      defaults: { inherited: [], vassalSet: [], classes: {}, finals: [] },
    });
  });

  test('says everything that it can say', () => {
    const { config, diagnostics } = loadEmperor(`[emperor]
emperor = /a
vassals = b
distros = d
distro = bookworm
homes = h
run-dir = r
state-dir = s
log-dir = l
opt = o
emperor-use-clone = pid,fs
trusted-owners = panel, 77
socket-group = adm
socket-mode = 0660
uid-range = 300000-300099
settle-ms = 0
start-limit = 3
hook-timeout = 1m
dns = 9.9.9.9
emperor-throttle = 1
emperor-max-throttle = 2
log-level = debug
cgroup-parent = hosting
master = true
`);
    expect(diagnostics).toEqual([]);
    expect(config).toMatchObject({
      vassalDirectories: ['/a', '/etc/emperor/b'],
      distrosDirectory: '/etc/emperor/d',
      defaultDistro: 'bookworm',
      homesDirectory: '/etc/emperor/h',
      runDirectory: '/etc/emperor/r',
      stateDirectory: '/etc/emperor/s',
      logDirectory: '/etc/emperor/l',
      optDirectory: '/etc/emperor/o',
      namespaces: ['fs', 'pid'],
      trustedOwners: [0, 1005, 77],
      socketGroup: 4,
      socketMode: 0o660,
      uidRange: { first: 300_000, last: 300_099 },
      settleMs: 0,
      startLimit: 3,
      hookTimeoutMs: 60_000,
      dns: ['9.9.9.9'],
      throttleMs: 1,
      maxThrottleMs: 2,
      logLevel: 'debug',
      cgroupParent: 'hosting',
    });
  });

  test('needs a directory of vassals', () => {
    expect(errors('[emperor]\n')).toEqual(['0:0 missing-key']);
  });

  test('tells all mistakes at once, those of classes and defaults for vassals too', () => {
    const text = `[emperor]
vasals = v
vassals = v
uid-range = 0-5
vassal-set = tmp-size=huge
vassal-set = tmp-sise=1M
vassal-set = nonsense
vassal-set = include=/x
final log-files = none
final = x
[class small]
stop-grace = forever
class = other
hostname = a
hostname = b
[class BIG]
[vassal]
`;
    expect(errors(text)).toEqual([
      '2:1 unknown-key',
      '4:13 bad-value',
      '5:23 bad-value',
      '6:14 unknown-key',
      '7:14 bad-value',
      '8:14 unknown-key',
      '9:19 bad-value',
      '10:1 bad-line',
      '12:14 bad-value',
      '13:1 bad-value',
      '15:1 duplicate-key',
      '16:1 bad-section',
      '17:1 bad-section',
    ]);
  });

  test('lets a class use a key that only some vassals have', () => {
    const emperor = emperorOf('[class c]\nenv = D=%(chdir)\n');
    expect(resolve('[vassal]\nclass = c\nchdir = x\n', { emperor }).vassal?.env).toEqual([
      ['D', 'x'],
    ]);
    expect(brief(resolve('[vassal]\nclass = c\n', { emperor }).diagnostics)).toEqual([
      '5:7 bad-template',
    ]);
  });

  test('knows by a distro directory what vassals get', () => {
    const load = (distros: readonly string[], line = '') =>
      loadEmperor(`${OWN}${line}`, { listDistros: () => distros });
    expect(load(['only']).config?.defaultDistro).toBe('only');
    expect(load(['a', 'b']).config?.defaultDistro).toBeNull();
    expect(load(['a', 'b'], 'distro = b\n').config?.defaultDistro).toBe('b');
    const { config, diagnostics } = load([], 'distro = bookworm\n');
    expect(config?.defaultDistro).toBe('bookworm');
    expect(diagnostics).toMatchObject([
      { severity: 'warning', code: 'unknown-distro', line: 3, column: 10 },
    ]);
  });

  test('lists the distros of the directory that it names', () => {
    const asked: string[] = [];
    const listDistros = (directory: string) => {
      asked.push(directory);
      return [];
    };
    loadEmperor(`${OWN}distros = d\n`, { listDistros });
    expect(asked).toEqual(['/etc/emperor/d']);
  });

  test('compares the two throttles', () => {
    expect(errors(`${OWN}emperor-throttle = 5\nemperor-max-throttle = 4\n`)).toEqual([
      '4:24 bad-value',
    ]);
  });

  test('takes environment variables and includes, with classes in them', () => {
    const files = {
      '/etc/emperor/more.ini': '[emperor]\nvassals = $(HOME)/v\n[class c]\nlog-files = 1\n',
    };
    const { config } = loadEmperor(`${OWN}include = more.ini\n`, { files });
    expect(config?.vassalDirectories).toEqual(['/etc/emperor/v', '/root/v']);
    expect(Object.keys(config?.defaults.classes ?? {})).toEqual(['c']);
  });

  test('reads the emperor text of the seed', () => {
    const text = `[uwsgi]
emperor = /etc/uwsgi/vassals
emperor-user-clone = fs,ipc,uts,net,pid
`;
    expect(loadEmperor(text)).toMatchObject({
      diagnostics: [],
      config: {
        vassalDirectories: ['/etc/uwsgi/vassals'],
        namespaces: ['fs', 'ipc', 'uts', 'net', 'pid'],
      },
    });
  });

  test('reads the vassal text of the seed', () => {
    const text = `   [uwsgi]
   ; set the hostname
   exec-as-root = hostname foobar
   ; bring up loopback
   exec-as-root = ifconfig lo up
`;
    expect(resolve(text)).toMatchObject({
      diagnostics: [],
      vassal: { command: null, execAsRoot: ['hostname foobar', 'ifconfig lo up'] },
    });
  });
});

describe('--set', () => {
  const load = (...overrides: readonly string[]) =>
    loadEmperor(`${OWN}log-level = warn\nvassal-set = log-files=7\n`, { overrides });

  test('wins over the file; keys that may repeat add up', () => {
    const { config } = load(
      'log-level=error',
      'vassals = w',
      'vassal-set=log-files=8',
      'log-level=debug',
    );
    expect(config).toMatchObject({
      logLevel: 'debug',
      vassalDirectories: ['/etc/emperor/v', '/etc/emperor/w'],
    });
    if (!config) throw new Error('not valid');
    const { values } = resolve('[vassal]\ndistro = trixie\n', { emperor: config });
    expect(values).toContainEqual({ key: 'log-files', value: '8', origin: 'vassal-set (--set)' });
  });

  test.each([
    ['nonsense', 'bad-line'],
    ['=x', 'bad-line'],
    ['log-level=de\nbug', 'bad-line'],
    ['log-level=loud', 'bad-value'],
    ['loglevel=info', 'unknown-key'],
    ['include=/etc/passwd', 'unknown-key'],
  ])('%j is refused', (override, code) => {
    expect(load(override)).toMatchObject({
      config: undefined,
      diagnostics: [{ file: '--set', line: 0, code }],
    });
  });
});
