import { describe, expect, test } from 'vitest';
import { plainDaemon } from '../../../src/config/kinds/daemons.ts';
import {
  brief,
  EMPEROR_FILE,
  emperorOf,
  resolve,
  resolveTenant,
  TENANT,
  VASSAL_FILE,
  vassalOf,
} from '../../support/configuration.ts';

/** What `emperor cat --resolved` says of one key. */
function shown(key: string, ...source: Parameters<typeof resolve>): readonly string[] {
  return resolve(...source)
    .values.filter((value) => value.key === key)
    .map(({ value, origin }) => `${value} | ${origin}`);
}

const ROUTER = `tuntap-router = emperor0 /run/tuntap.socket
tuntap-router-address = 192.168.0.1/24
tuntap-router-address6 = fd00:1::1/64
`;

function errors(...source: Parameters<typeof resolve>): readonly string[] {
  return brief(resolve(...source).diagnostics);
}

describe('a vassal file', () => {
  test('with nothing but its section is an idle vassal with all defaults', () => {
    expect(resolve('[vassal]\n').diagnostics).toEqual([]);
    expect(vassalOf('')).toEqual({
      name: 'blog',
      command: null,
      restart: 'always',
      chdir: null,
      env: [],
      ready: null,
      watchdogMs: null,
      daemons: [],
      tunedDaemons: [],
      smartDaemons: [],
      distro: 'bookworm',
      hostname: 'blog',
      uid: null,
      gid: null,
      home: null,
      binds: [],
      tmpSizeBytes: 64 * 2 ** 20,
      runSizeBytes: 16 * 2 ** 20,
      homeSize: null,
      memoryMax: null,
      memoryHigh: null,
      memorySwapMax: null,
      cpuMax: null,
      cpuWeight: null,
      dailyCpuMs: null,
      pidsMax: null,
      ioWeight: null,
      ioMax: [],
      ksm: null,
      execPreJail: [],
      execPostApp: [],
      execAsRoot: [],
      device: null,
      deviceRules: [],
      address: null,
      address6: null,
      dns: null,
      sshUser: null,
      shell: null,
      cron: [],
      uniqueCron: [],
      cron2: [],
      cronHarakiriMs: 0,
      crontab: 'yes',
      stopSignal: 15,
      stopGraceMs: 10_000,
      reloadSignal: null,
      logMaxBytes: 10 * 2 ** 20,
      logFiles: 5,
      className: null,
      opt: null,
    });
  });

  test('says everything that it can say', () => {
    const vassal = vassalOf(
      `command = python3 -m 'http server'
restart = on-failure
chdir = app
env = A=1
ready = port:80
watchdog = 30s
attach-daemon = a 1
attach-daemon2 = cmd=b,control=1
smart-attach-daemon = /run/c.pid c
distro = trixie
hostname = www
uid = 30001
gid = 30002
home = ../homes/blog
bind = /srv/media /media rw
tmp-size = 1M
run-size = 2M
home-size = 2G
memory-max = 512M
memory-high = 400M
memory-swap-max = max
cpu-max = 150%
cpu-weight = 200
daily-cpu = 2h
ksm = true
pids-max = 100
io-weight = 50
io-max = 8:0 rbps=1M
exec-pre-jail = pre
exec-post-app = post
exec-as-root = ifconfig lo up
tuntap-device = uwsgi0
tuntap-device-rule = out 0.0.0.0 10.0.0.0/8 deny
address = 192.168.0.2
address6 = fd00:1::2
dns = 9.9.9.9
ssh-user = blog-ssh
shell = /usr/bin/zsh
cron = @daily ~/report
unique-cron = -5 -1 -1 -1 6 ~/import
cron2 = minute=0,timezone=UTC,harakiri=60 ~/sync
cron-harakiri = 10m
crontab = no
stop-signal = QUIT
stop-grace = 3
reload-signal = HUP
log-max-size = 1M
log-files = 2
class = small
master = true
`,
      {
        emperor: emperorOf(`opt = /srv/opt
${ROUTER}[class small]
`),
      },
    );
    expect(vassal).toEqual({
      name: 'blog',
      command: ['python3', '-m', 'http server'],
      restart: 'on-failure',
      chdir: 'app',
      env: [['A', '1']],
      ready: { how: 'port', port: 80 },
      watchdogMs: 30_000,
      daemons: [plainDaemon(['a', '1'])],
      tunedDaemons: [{ ...plainDaemon(['b']), isControl: true }],
      smartDaemons: [{ ...plainDaemon(['c']), pidFile: '/run/c.pid' }],
      distro: 'trixie',
      hostname: 'www',
      uid: 30_001,
      gid: 30_002,
      home: '/etc/emperor/homes/blog',
      binds: [{ source: '/srv/media', target: '/media', readOnly: false }],
      tmpSizeBytes: 2 ** 20,
      runSizeBytes: 2 ** 21,
      homeSize: 2 ** 31,
      memoryMax: 2 ** 29,
      memoryHigh: 400 * 2 ** 20,
      memorySwapMax: 'max',
      cpuMax: 1.5,
      cpuWeight: 200,
      dailyCpuMs: 7_200_000,
      ksm: true,
      pidsMax: 100,
      ioWeight: 50,
      ioMax: [{ device: '8:0', rbps: 2 ** 20 }],
      execPreJail: ['pre'],
      execPostApp: ['post'],
      execAsRoot: ['ifconfig lo up'],
      device: { name: 'uwsgi0', socket: null },
      deviceRules: [
        {
          chain: 'out',
          action: 'deny',
          sides: {
            src: { family: 4, words: [0], length: 0 },
            dst: { family: 4, words: [0x0a000000], length: 8 },
          },
        },
      ],
      address: { family: 4, words: [0xc0a80002] },
      address6: { family: 6, words: [0xfd000001, 0, 0, 2] },
      dns: ['9.9.9.9'],
      sshUser: 'blog-ssh',
      shell: '/usr/bin/zsh',
      cron: [
        {
          expression: '@daily',
          zone: null,
          command: '~/report',
          isUnique: false,
          harakiriMs: null,
          catchesUp: false,
        },
      ],
      uniqueCron: [
        {
          expression: '-5 -1 -1 -1 6',
          zone: null,
          command: '~/import',
          isUnique: true,
          harakiriMs: null,
          catchesUp: false,
        },
      ],
      cron2: [
        {
          expression: '0 -1 -1 -1 -1',
          zone: 'UTC',
          command: '~/sync',
          isUnique: false,
          harakiriMs: 60_000,
          catchesUp: false,
        },
      ],
      cronHarakiriMs: 600_000,
      crontab: 'no',
      stopSignal: 3,
      stopGraceMs: 3000,
      reloadSignal: 1,
      logMaxBytes: 2 ** 20,
      logFiles: 2,
      className: 'small',
      opt: '/srv/opt',
    });
  });

  test('may call its section [uwsgi], but not both', () => {
    expect(resolve('[uwsgi]\ncommand = x\n').vassal?.command).toEqual(['x']);
    expect(errors('[uwsgi]\n[vassal]\n')).toEqual(['2:1 bad-section']);
  });

  test('without a section is refused: it may be half written', () => {
    expect(errors('')).toEqual(['0:0 no-section']);
    expect(errors('; only a comment\n')).toEqual(['0:0 no-section']);
  });

  test('never runs as root', () => {
    expect(errors('[vassal]\nuid = 0\ngid = 0\n')).toEqual(['2:7 bad-value', '3:7 bad-value']);
  });

  test('with several mistakes has all of them told at once, in the order of lines', () => {
    const text = `[vassal]
comand = x
restart = sometimes
[other]
uid = 7
[vassal]
stop-grace = soon
command = 'x
distro = bokworm
class = small
`;
    expect(errors(text)).toEqual([
      '2:1 unknown-key',
      '3:11 bad-value',
      '4:1 bad-section',
      '7:14 bad-value',
      '8:11 bad-value',
      '9:10 unknown-distro',
      '10:9 unknown-class',
    ]);
  });

  test('names the nearest key, distro and class', () => {
    const { diagnostics } = resolve('[vassal]\ncomand = x\ndistro = bokworm\nclass = smal\n', {
      emperor: emperorOf('[class small]\n'),
    });
    expect(diagnostics.map(({ hint }) => hint)).toEqual([
      'did you mean `command`?',
      'did you mean `bookworm`?',
      'did you mean `small`?',
    ]);
    expect(diagnostics[1]?.message).toContain('it has bookworm, trixie');
  });

  test('may not repeat a key that takes one value', () => {
    const { diagnostics } = resolve('[vassal]\nhostname = a\nenv = A=1\nhostname = b\n');
    expect(brief(diagnostics)).toEqual(['4:1 duplicate-key']);
    expect(diagnostics[0]?.message).toContain('line 2 has it already');
  });

  test('with shell syntax in its command runs, with a warning', () => {
    const { vassal, diagnostics } = resolve('[vassal]\ncommand = a && b\n');
    expect(vassal?.command).toEqual(['a', '&&', 'b']);
    expect(diagnostics).toMatchObject([
      {
        severity: 'warning',
        code: 'shell-syntax',
        line: 2,
        column: 13,
        hint: "for a shell write `sh -c 'a && b'`",
      },
    ]);
  });
});

describe('distro', () => {
  test('partly M24: is one line of the file', () => {
    expect(vassalOf('distro = trixie\n').distro).toBe('trixie');
  });

  test('is the only one there is, where nobody names one', () => {
    const { config } = loadOne(['trixie']);
    expect(resolve('[vassal]\n', { emperor: config }).vassal?.distro).toBe('trixie');
  });

  test('must be named where there are several, or none', () => {
    for (const distros of [[], ['a', 'b']]) {
      const { diagnostics } = resolve('[vassal]\n', { emperor: loadOne(distros).config });
      expect(diagnostics).toMatchObject([
        { code: 'no-distro', hint: expect.stringContaining('distro = NAME') },
      ]);
    }
  });

  function loadOne(distros: readonly string[]) {
    const config = emperorOf('', { text: '[emperor]\nvassals = v\n', listDistros: () => distros });
    return { config };
  }
});

describe('precedence', () => {
  const emperor = emperorOf(`vassal-set = hostname=from-set
vassal-set = restart=never
vassal-set = chdir=from-set
vassal-set = env=A=set
vassal-set = env=B=set
final log-files = 3
final env = Z=final
[class small]
hostname = from-class
restart = on-failure
env = B=class
env = C=class
`);
  const text = '[vassal]\nclass = small\nhostname = own\nenv = C=own\nenv = D=own\n';

  test('is the file, its class, vassal-set, the default; and each value tells its origin', () => {
    expect(shown('hostname', text, { emperor })).toEqual([`own | ${VASSAL_FILE}:3`]);
    expect(shown('restart', text, { emperor })).toEqual([
      `on-failure | class small (${EMPEROR_FILE}:13)`,
    ]);
    expect(shown('chdir', text, { emperor })).toEqual([
      `from-set | vassal-set (${EMPEROR_FILE}:6)`,
    ]);
    expect(shown('stop-grace', text, { emperor })).toEqual(['10s | built-in default']);
    expect(shown('distro', text, { emperor })).toEqual([`bookworm | ${EMPEROR_FILE}:3`]);
    expect(shown('uid', text, { emperor })).toEqual([]);
  });

  test('adds up keys that may repeat, lowest first, and lets the highest have a name', () => {
    expect(shown('env', text, { emperor })).toEqual([
      `A=set | vassal-set (${EMPEROR_FILE}:7)`,
      `B=class | class small (${EMPEROR_FILE}:14)`,
      `C=own | ${VASSAL_FILE}:4`,
      `D=own | ${VASSAL_FILE}:5`,
      `Z=final | final (${EMPEROR_FILE}:10)`,
    ]);
  });

  test('ends at what the operator wrote final, and the file is told', () => {
    const { vassal, diagnostics } = resolve('[vassal]\nlog-files = 9\nenv = Z=own\n', { emperor });
    expect(vassal?.logFiles).toBe(3);
    expect(vassal?.env).toContainEqual(['Z', 'final']);
    expect(diagnostics).toMatchObject([{ severity: 'warning', code: 'has-no-effect', line: 2 }]);
  });

  test('takes the class from vassal-set and final, too', () => {
    const sections = '[class a]\nhostname = a\n[class b]\nhostname = b\n';
    const set = emperorOf(`vassal-set = class=a\n${sections}`);
    expect(vassalOf('', { emperor: set }).hostname).toBe('a');
    expect(vassalOf('class = b\n', { emperor: set }).hostname).toBe('b');
    const final = emperorOf(`final class = a\n${sections}`);
    expect(vassalOf('class = b\n', { emperor: final })).toMatchObject({
      hostname: 'a',
      className: 'a',
    });
  });

  test('hands down the name servers of the emperor', () => {
    const withDns = emperorOf('dns = 9.9.9.9 1.1.1.1\n');
    expect(vassalOf('', { emperor: withDns }).dns).toEqual(['9.9.9.9', '1.1.1.1']);
    expect(vassalOf('dns = 8.8.8.8\n', { emperor: withDns }).dns).toEqual(['8.8.8.8']);
  });

  test('finds a mistake also in a line that another one hides', () => {
    expect(errors('[vassal]\nlog-files = many\n', { emperor })).toContain('2:13 bad-value');
  });

  test('warns of a variable that is set twice in one file', () => {
    const { vassal, diagnostics } = resolve('[vassal]\nenv = A=1\nenv = A=2\n');
    expect(vassal?.env).toEqual([['A', '2']]);
    expect(diagnostics).toMatchObject([{ severity: 'warning', code: 'has-no-effect', line: 2 }]);
  });
});

describe('partly M13: the file of a tenant', () => {
  test('runs as its owner, whatever else is said', () => {
    const emperor = emperorOf('vassal-set = uid=4000\nfinal gid = 4000\n');
    const { vassal } = resolveTenant('[vassal]\ncommand = x\n', { emperor });
    expect(vassal).toMatchObject({ ...TENANT, command: ['x'] });
  });

  test('has the tenant keys, and no other', () => {
    const allowed = `command = x
env = A=1
chdir = y
restart = never
stop-signal = INT
stop-grace = 1s
reload-signal = HUP
`;
    expect(resolveTenant(`[vassal]\n${allowed}`).diagnostics).toEqual([]);
    const forbidden = [
      'distro = trixie',
      'hostname = x',
      'uid = 5',
      'gid = 5',
      'home = /x',
      'bind = /a /b',
      'tmp-size = 1G',
      'run-size = 1G',
      'exec-as-root = id',
      'dns = 9.9.9.9',
      'tuntap-device = uwsgi0',
      'tuntap-device-rule = in 0.0.0.0 0.0.0.0 allow',
      'address = 192.168.0.2',
      'address6 = fd00:1::2',
      'class = big',
      'log-max-size = 1G',
      'log-files = 9',
    ];
    for (const line of forbidden) {
      const { vassal, diagnostics } = resolveTenant(`[vassal]\n${line}\n`);
      expect([line, vassal, brief(diagnostics)]).toEqual([line, undefined, ['2:1 operator-only']]);
    }
  });

  test('gets what class, vassal-set and final say', () => {
    const emperor = emperorOf(
      'vassal-set = class=small\nfinal log-files = 2\n[class small]\ntmp-size = 1M\nexec-as-root = id\n',
    );
    expect(resolveTenant('[vassal]\n', { emperor }).vassal).toMatchObject({
      tmpSizeBytes: 2 ** 20,
      execAsRoot: ['id'],
      logFiles: 2,
    });
  });

  test('never includes a file, so that no diagnostic can print one', () => {
    let reads = 0;
    const readInclude = () => {
      reads += 1;
      return { text: 'root:$6$secret:19000::::::\n' };
    };
    for (const line of ['include = /etc/shadow', 'for = /etc/shadow\ninclude = %(_)\nendfor']) {
      const { vassal, diagnostics } = resolveTenant(`[vassal]\n${line}\n`, { readInclude });
      expect(vassal).toBeUndefined();
      expect(diagnostics).toMatchObject([{ code: 'operator-only' }]);
      expect(JSON.stringify(diagnostics)).not.toContain('secret');
    }
    expect(reads).toBe(0);
  });

  test('never sees the environment of the emperor', () => {
    let asked = 0;
    const env = () => {
      asked += 1;
      return 'secret';
    };
    const { vassal, diagnostics, values } = resolveTenant(
      '[vassal]\nenv = A=$(HOME)\nfor = $(HOME)\nenv = B=%(_)\nendfor\n',
      { env },
    );
    expect(vassal).toBeUndefined();
    expect(brief(diagnostics)).toEqual(['2:7 operator-only', '3:7 operator-only']);
    expect(JSON.stringify([diagnostics, values])).not.toContain('secret');
    expect(asked).toBe(0);
  });

  test('sees no value of the operator by %(key), and the operator none of the tenant', () => {
    const emperor = emperorOf('vassal-set = exec-as-root=echo $(HOME)\n');
    const peek = resolveTenant('[vassal]\nenv = A=%(exec-as-root)\n', { emperor });
    expect(brief(peek.diagnostics)).toEqual(['2:7 bad-template']);
    const trap = emperorOf('vassal-set = exec-as-root=logger %(command)\n');
    const sprung = resolveTenant('[vassal]\ncommand = "; rm -rf /"\n', { emperor: trap });
    expect(sprung.vassal).toBeUndefined();
    expect(sprung.diagnostics).toMatchObject([{ file: EMPEROR_FILE, code: 'bad-template' }]);
  });

  test('can refer to its own keys', () => {
    const { vassal } = resolveTenant('[vassal]\nchdir = app\nenv = DIR=%(chdir)\n');
    expect(vassal?.env).toEqual([['DIR', 'app']]);
  });
});

describe('the hash', () => {
  const hash = (...source: Parameters<typeof resolve>) => resolve(...source).hash;

  test('is that of what comes out, not of the text', () => {
    expect(hash('[vassal]\ncommand = x\n')).toMatch(/^[0-9a-f]{64}$/);
    expect(hash('[uwsgi]\n; why\ncommand =   x\ntmp-size = 65536K')).toBe(
      hash('[vassal]\ncommand = x\n'),
    );
    expect(hash('[vassal]\ncommand = y\n')).not.toBe(hash('[vassal]\ncommand = x\n'));
  });

  test('changes with a class, a default and the distro of the emperor where they matter, else not', () => {
    const before = emperorOf('[class small]\ntmp-size = 1M\n');
    const after = emperorOf('[class small]\ntmp-size = 2M\n');
    const small = '[vassal]\nclass = small\n';
    expect(hash(small, { emperor: before })).not.toBe(hash(small, { emperor: after }));
    expect(hash('[vassal]\n', { emperor: before })).toBe(hash('[vassal]\n', { emperor: after }));
    expect(hash('[vassal]\n', { emperor: emperorOf('dns = 9.9.9.9\n') })).not.toBe(
      hash('[vassal]\n'),
    );
    expect(hash('[vassal]\n', { emperor: emperorOf('opt = /o\n') })).not.toBe(hash('[vassal]\n'));
  });

  test('differs for every key that differs', () => {
    const lines = [
      'command = x',
      'restart = never',
      'chdir = x',
      'env = A=1',
      'distro = trixie',
      'hostname = x',
      'uid = 5',
      'gid = 5',
      'home = /x',
      'bind = /a /b',
      'tmp-size = 1M',
      'run-size = 1M',
      'exec-as-root = x',
      'dns = 9.9.9.9',
      'stop-signal = HUP',
      'stop-grace = 1s',
      'reload-signal = HUP',
      'log-max-size = 1M',
      'log-files = 1',
    ];
    const hashes = lines.map((line) => hash(`[vassal]\n${line}\n`));
    expect(new Set([hash('[vassal]\n'), ...hashes]).size).toBe(lines.length + 1);
  });

  test('is empty where there is nothing to run', () => {
    expect(hash('[vassal]\nx = 1\n')).toBe('');
  });
});

test('the result is plain JSON', () => {
  const vassal = vassalOf('command = a b\nenv = A=1\nbind = /a /b\ndns = 9.9.9.9\n');
  expect(JSON.parse(JSON.stringify(vassal))).toEqual(vassal);
});
