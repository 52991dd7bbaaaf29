import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hostAddress, hostCidr } from '../../../src/config/kinds/addresses.ts';
import { nat, routerDevice, uwsgiRouter, vassalDevice } from '../../../src/config/kinds/devices.ts';
import { deviceRule, natDenials, rule } from '../../../src/config/kinds/firewall.ts';
import type { Kind, KindContext } from '../../../src/config/kinds/kind.ts';
import { countLimit, cpuShare, ioMax, sizeLimit } from '../../../src/config/kinds/limits.ts';
import {
  group,
  NAMESPACES,
  nameServers,
  namespaces,
  users,
} from '../../../src/config/kinds/lists.ts';
import {
  duration,
  integer,
  octalMode,
  range,
  signal,
  size,
} from '../../../src/config/kinds/numbers.ts';
import { bind, hostPath, innerPath, innerProgram } from '../../../src/config/kinds/paths.ts';
import { boolean, choice, envPair, hostname, name, text } from '../../../src/config/kinds/text.ts';
import { commandWords } from '../../../src/config/kinds/words.ts';
import { meantBy } from '../../../src/firewall/prefix.ts';

const ACCOUNTS: ReadonlyMap<string, number> = new Map([['panel', 1005]]);
const CONTEXT: KindContext = {
  directory: '/etc/emperor',
  lookupUser: (account) => ACCOUNTS.get(account),
  lookupGroup: (account) => ACCOUNTS.get(account),
};

function parse<T>(kind: Kind<T>, value: string): T | string {
  const parsed = kind.parse(value, CONTEXT);
  return 'fault' in parsed ? `refused: ${parsed.fault.message}` : parsed.value;
}

const REFUSED = expect.stringMatching(/^refused: /);

describe('numbers', () => {
  test.each([
    ['0', REFUSED],
    ['1', 1],
    ['007', 7],
    ['100', 100],
    ['101', REFUSED],
    ['-1', REFUSED],
    ['1.5', REFUSED],
    ['0x10', REFUSED],
    ['1e2', REFUSED],
    [' 1', REFUSED],
    ['', REFUSED],
    ['99999999999999999999', REFUSED],
  ])('integer from 1 to 100: `%s`', (value, expected) => {
    expect(parse(integer({ min: 1, max: 100 }), value)).toEqual(expected);
  });

  test.each([
    ['10', 10_000],
    ['0.5', 500],
    ['500ms', 500],
    ['1m30s', 90_000],
    ['1h', 3_600_000],
    ['1h1ms', REFUSED],
    ['10x', REFUSED],
    ['-1s', REFUSED],
    ['', REFUSED],
  ])('duration up to an hour: `%s`', (value, expected) => {
    expect(parse(duration({ min: 0, max: 3_600_000 }), value)).toEqual(expected);
  });

  test.each([
    ['4096', 4096],
    ['4K', 4096],
    ['1.5M', 1_572_864],
    ['1GiB', 2 ** 30],
    ['1K', REFUSED],
    ['64 potatoes', REFUSED],
    ['-4K', REFUSED],
  ])('size from 4K to 1G: `%s`', (value, expected) => {
    expect(parse(size({ min: 4096, max: 2 ** 30 }), value)).toEqual(expected);
  });

  test.each([
    ['10-20', { first: 10, last: 20 }],
    ['10 - 10', { first: 10, last: 10 }],
    ['20-10', REFUSED],
    ['10', REFUSED],
    ['0-10', REFUSED],
    ['10-', REFUSED],
  ])('range within 1-99: `%s`', (value, expected) => {
    expect(parse(range({ min: 1, max: 99 }), value)).toEqual(expected);
  });

  test.each([
    ['0660', 0o660],
    ['660', 0o660],
    ['0', 0],
    ['1777', REFUSED],
    ['0668', REFUSED],
    ['rw', REFUSED],
  ])('octal mode: `%s`', (value, expected) => {
    expect(parse(octalMode, value)).toEqual(expected);
  });

  test.each([
    ['SIGTERM', 15],
    ['term', 15],
    ['HUP', 1],
    ['9', 9],
    ['64', 64],
    ['65', REFUSED],
    ['0', REFUSED],
    ['SIGSIGTERM', REFUSED],
    ['toString', REFUSED],
  ])('signal: `%s`', (value, expected) => {
    expect(parse(signal, value)).toEqual(expected);
  });
});

describe('paths', () => {
  test.each([
    ['/srv/a', '/srv/a'],
    ['vassals', '/etc/emperor/vassals'],
    ['../b/', '/etc/b'],
    ['/a/../b', '/b'],
    ['', REFUSED],
  ])('on the host: `%s`', (value, expected) => {
    expect(parse(hostPath, value)).toEqual(expected);
  });

  test.each(['/bin/zsh', '/home/blog/.local/bin/fish-3.6', '/opt/c++'])(
    'a shell: `%s`',
    (value) => {
      expect(parse(innerProgram, value)).toBe(value);
    },
  );

  test.each(['', 'zsh', '/', '/bin/', '/bin/sh -l', '/bin/sh:x', '/bin/sh\nroot'])(
    'no shell: `%s`',
    (value) => {
      expect(parse(innerProgram, value)).toEqual(REFUSED);
    },
  );

  test('a bind is read-only unless it says rw', () => {
    const paths = { source: '/srv/m', target: '/m' };
    expect(parse(bind, '/srv/m /m')).toEqual({ ...paths, readOnly: true });
    expect(parse(bind, '/srv/m /m ro')).toEqual({ ...paths, readOnly: true });
    expect(parse(bind, '/srv/m /m rw')).toEqual({ ...paths, readOnly: false });
    expect(parse(bind, `m '/m n' rw`)).toEqual({
      source: '/etc/emperor/m',
      target: '/m n',
      readOnly: false,
    });
  });

  test.each([
    ['/a', /is no bind/],
    ['/a /b rw /c', /is no bind/],
    ['/a /b rx', /neither/],
    ['/a b', /not absolute/],
    ['/a /', /no plain path/],
    ['/a /b/../c', /no plain path/],
    ['/a //b', /no plain path/],
    ['/a /b/', /no plain path/],
    ['/a /proc', /below \/proc/],
    ['/a /dev/shm', /below \/dev/],
    ['/a /sys/fs', /below \/sys/],
    [`/a '/b`, /never closed/],
    [`'' /b`, /is no bind/],
  ])('a bind `%s` is refused', (value, expected) => {
    expect(parse(bind, value)).toMatch(expected);
  });

  test('a bind may stand beside the trees that every vassal has', () => {
    expect(parse(bind, '/a /process')).toMatchObject({ target: '/process' });
  });
});

describe('texts', () => {
  test.each([
    ['A=1', ['A', '1']],
    ['A=', ['A', '']],
    ['_x1=a=b c', ['_x1', 'a=b c']],
    ['A', REFUSED],
    ['=1', REFUSED],
    ['1A=1', REFUSED],
    ['A B=1', REFUSED],
    ['A-B=1', REFUSED],
  ])('environment: `%s`', (value, expected) => {
    expect(parse(envPair, value)).toEqual(expected);
  });

  test.each([
    ['blog', 'blog'],
    ['a.b-c_d', 'a.b-c_d'],
    ['-a', REFUSED],
    ['.a', REFUSED],
    ['a b', REFUSED],
    ['x'.repeat(64), 'x'.repeat(64)],
    ['x'.repeat(65), REFUSED],
    ['', REFUSED],
  ])('host name: `%s`', (value, expected) => {
    expect(parse(hostname, value)).toEqual(expected);
  });

  test.each([
    ['bookworm', 'bookworm'],
    ['..', REFUSED],
    ['a/b', REFUSED],
    ['', REFUSED],
  ])('name: `%s`', (value, expected) => {
    expect(parse(name, value)).toEqual(expected);
  });

  test('a choice and a switch take their words only', () => {
    expect(parse(choice(['always', 'never']), 'never')).toBe('never');
    expect(parse(choice(['always', 'never']), 'Never')).toEqual(REFUSED);
    expect(['true', 'on', 'yes', '1'].map((value) => parse(boolean, value))).not.toContain(false);
    expect(['false', 'off', 'no', '0'].map((value) => parse(boolean, value))).not.toContain(true);
    expect(parse(boolean, 'maybe')).toEqual(REFUSED);
  });
});

describe('the network', () => {
  test.each([
    ['emperor0 /run/t.socket', { device: 'emperor0', socket: '/run/t.socket' }],
    ["eth0.100 'a b'", { device: 'eth0.100', socket: '/etc/emperor/a b' }],
    ['emperor0', REFUSED],
    ['emperor0 /run/t.socket more', REFUSED],
    ['lo /run/t.socket', REFUSED],
    ['all /run/t.socket', REFUSED],
    ['../x /run/t.socket', REFUSED],
    ['tun%d /run/t.socket', REFUSED],
    ['abcdefghijklmno /s', { device: 'abcdefghijklmno', socket: '/s' }],
    ['abcdefghijklmnop /s', REFUSED],
    ["'' /s", REFUSED],
    ["a ''", REFUSED],
    [`a /${'x'.repeat(106)}`, { device: 'a', socket: `/${'x'.repeat(106)}` }],
    [`a /${'x'.repeat(107)}`, REFUSED],
  ])('a router device: `%s`', (value, expected) => {
    expect(parse(routerDevice, value)).toEqual(expected);
  });

  test("a vassal's device may do without the socket", () => {
    expect(parse(vassalDevice, 'uwsgi0')).toEqual({ name: 'uwsgi0', socket: null });
    expect(parse(vassalDevice, 'uwsgi0 t')).toEqual({ name: 'uwsgi0', socket: '/etc/emperor/t' });
    expect(parse(vassalDevice, '')).toEqual(REFUSED);
    expect(parse(vassalDevice, 'lo')).toEqual(REFUSED);
  });

  test.each([
    [4, '192.168.0.1/24', { address: { family: 4, words: [0xc0a80001] }, length: 24 }],
    [4, '10.0.0.1/30', { address: { family: 4, words: [0x0a000001] }, length: 30 }],
    [4, '10.0.0.1/31', REFUSED],
    [4, '10.0.0.1/7', REFUSED],
    [4, '10.0.0.1', REFUSED],
    [4, '10.0.0.0/8', REFUSED],
    [4, '10.255.255.255/8', REFUSED],
    [4, '127.0.0.1/8', REFUSED],
    [4, '224.0.0.1/24', REFUSED],
    [4, 'fd00::1/64', REFUSED],
    [4, '', REFUSED],
    [6, 'fd00::1/126', { address: { family: 6, words: [0xfd000000, 0, 0, 1] }, length: 126 }],
    [6, 'fd00::1/127', REFUSED],
    [6, 'fd00::/64', REFUSED],
    [6, 'fe80::1/64', REFUSED],
    [6, '::1/64', REFUSED],
    [6, '192.168.0.1/24', REFUSED],
  ] as const)('a host in an IPv%i network: `%s`', (family, value, expected) => {
    expect(parse(hostCidr(family), value)).toEqual(expected);
  });

  test.each([
    [4, '192.168.0.2', { family: 4, words: [0xc0a80002] }],
    [4, '192.168.0.2/24', REFUSED],
    [4, '192.168.0.02', REFUSED],
    [4, '0.0.0.0', REFUSED],
    [4, 'fd00::2', REFUSED],
    [4, '', REFUSED],
    [6, 'FD00:0:0::2', { family: 6, words: [0xfd000000, 0, 0, 2] }],
    [6, 'fe80::1%lo', REFUSED],
    [6, '::ffff:192.168.0.2', REFUSED],
    [6, '192.168.0.2', REFUSED],
  ] as const)("a vassal's IPv%i address: `%s`", (family, value, expected) => {
    expect(parse(hostAddress(family), value)).toEqual(expected);
  });

  test.each([
    ['auto', 'auto'],
    ['off', 'off'],
    ['eth0', { device: 'eth0' }],
    ['eth0 eth1', REFUSED],
    ['lo', REFUSED],
    ['', REFUSED],
  ])('nat: `%s`', (value, expected) => {
    expect(parse(nat, value)).toEqual(expected);
  });

  test.each([
    ['none', []],
    [
      'tcp/25 udp/65535',
      [
        { protocol: 'tcp', port: 25 },
        { protocol: 'udp', port: 65_535 },
      ],
    ],
    ['0.0.0.0', [{ network: { family: 4, words: [0], length: 0 } }]],
    ['10.1.1.1/8', [{ network: { family: 4, words: [0x0a000000], length: 8 } }]],
    ['tcp/0', REFUSED],
    ['tcp/65536', REFUSED],
    ['sctp/1', REFUSED],
    ['tcp/25, none', REFUSED],
    ['', REFUSED],
    [',', REFUSED],
  ])('what nat denies: `%s`', (value, expected) => {
    expect(parse(natDenials, value)).toEqual(expected);
  });
});

describe('lists', () => {
  test('namespaces come once each, in one order', () => {
    expect(parse(namespaces, 'pid, fs,pid')).toEqual(['fs', 'pid']);
    expect(parse(namespaces, 'fs,user')).toBe('refused: `user` is no namespace');
    expect(parse(namespaces, ',')).toEqual(REFUSED);
  });

  test('name servers are at most three addresses', () => {
    expect(parse(nameServers, '9.9.9.9, 2620:fe::fe')).toEqual(['9.9.9.9', '2620:fe::fe']);
    expect(parse(nameServers, '1.1.1.1 1.1.1.2 1.1.1.3 1.1.1.4')).toEqual(REFUSED);
    expect(parse(nameServers, 'dns.example.org')).toEqual(REFUSED);
    expect(parse(nameServers, '1.1.1')).toEqual(REFUSED);
    expect(parse(nameServers, 'fe80::1%eth0')).toEqual(REFUSED);
  });

  test('users and groups go by name or number', () => {
    expect(parse(users, 'panel 7 1005')).toEqual([1005, 7]);
    expect(parse(users, 'nobody-here')).toBe('refused: `nobody-here` is no user');
    expect(parse(group, 'panel')).toBe(1005);
    expect(parse(group, '4294967295')).toEqual(REFUSED);
  });
});

describe('commands', () => {
  test('an empty one is refused, whatever the quotes', () => {
    expect(parse(commandWords, '')).toEqual(REFUSED);
    expect(parse(commandWords, '  ')).toEqual(REFUSED);
    expect(parse(commandWords, `'' x`)).toEqual(REFUSED);
  });

  test('one with shell syntax is taken, with a warning that shows the form with a shell', () => {
    expect(commandWords.parse(`cd 'a b' && ls`, CONTEXT)).toMatchObject({
      value: ['cd', 'a b', '&&', 'ls'],
      warnings: [{ offset: 9, hint: `for a shell write \`sh -c 'cd '\\''a b'\\'' && ls'\`` }],
    });
  });
});

/** Text without line ends and control characters, as the line reader lets through. */
const line = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 40 })
  .map((value) => value.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, ''))
  .filter((value) => value !== '');
const absolute = fc
  .array(
    fc.stringMatching(/^[a-z "'%é.]{1,8}$/).filter((part) => !/^\.\.?$/.test(part)),
    {
      minLength: 1,
      maxLength: 4,
    },
  )
  .map((parts) => `/${parts.join('/')}`);
const id = fc.integer({ min: 1, max: 2 ** 32 - 2 });

const prefix4 = fc
  .record({
    word: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    length: fc.integer({ min: 0, max: 32 }),
  })
  .map(({ word, length }) => meantBy({ address: { family: 4, words: [word] }, length }));
const action = fc.constantFrom('allow', 'deny');
const sides = fc.record({ src: prefix4, dst: prefix4 });
const device = fc.stringMatching(/^[a-z][a-z0-9._-]{4,14}$/).filter((each) => each !== 'default');
const cidr4 = fc
  .record({ net: fc.nat(255), host: fc.integer({ min: 1, max: 254 }) })
  .map(({ net, host }) => ({
    address: { family: 4, words: [0x0a000000 + net * 256 + host] },
    length: 24,
  }));
const socket = absolute.filter((path) => Buffer.byteLength(path) <= 107);

const KINDS: readonly (readonly [string, Kind<unknown>, fc.Arbitrary<unknown>])[] = [
  ['integer', integer({ min: 1, max: 2 ** 32 - 2 }), id],
  ['duration', duration({ min: 0, max: 2 ** 40 }), fc.integer({ min: 0, max: 2 ** 40 })],
  ['size', size({ min: 0, max: 2 ** 50 }), fc.integer({ min: 0, max: 2 ** 50 })],
  ['size of whole units', size({ min: 0, max: 2 ** 50 }), fc.nat(1023).map((n) => n * 2 ** 20)],
  [
    'range',
    range({ min: 1, max: 2 ** 33 }),
    fc.tuple(id, fc.nat(99)).map(([first, more]) => ({ first, last: first + more })),
  ],
  ['octal mode', octalMode, fc.integer({ min: 0, max: 0o777 })],
  ['limit of memory', sizeLimit({ min: 0, max: 2 ** 50 }), fc.nat(2 ** 30)],
  ['no limit', countLimit({ min: 1, max: 9 }), fc.constant('max')],
  ['processors', cpuShare, fc.integer({ min: 1, max: 9999 }).map((percent) => percent / 100)],
  [
    'limit of a disk',
    ioMax,
    fc.record({ device: fc.constantFrom('/srv', '8:16'), rbps: fc.nat(999).map((n) => n + 1) }),
  ],
  ['signal', signal, fc.integer({ min: 1, max: 64 })],
  ['host path', hostPath, absolute],
  ['inner path', innerPath, line],
  ['inner program', innerProgram, fc.stringMatching(/^\/[a-z]{1,9}$/)],
  [
    'bind',
    bind,
    fc.record({
      source: absolute,
      target: absolute.map((path) => `/x${path}`),
      readOnly: fc.boolean(),
    }),
  ],
  ['text', text, line],
  ['name', name, fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._+-]{0,62}$/)],
  ['host name', hostname, fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/)],
  ['choice', choice(['a', 'b']), fc.constantFrom('a', 'b')],
  ['switch', boolean, fc.boolean()],
  ['environment variable', envPair, fc.tuple(fc.stringMatching(/^[A-Za-z_]\w{0,9}$/), line)],
  ['command', commandWords, fc.array(line, { minLength: 1, maxLength: 6 })],
  ['namespaces', namespaces, fc.subarray([...NAMESPACES], { minLength: 1 })],
  [
    'name servers',
    nameServers,
    fc.array(fc.oneof(fc.ipV4(), fc.ipV6()), { minLength: 1, maxLength: 3 }),
  ],
  ['router device', routerDevice, fc.record({ device, socket })],
  ['device', vassalDevice, fc.record({ name: device, socket: fc.option(socket) })],
  ['uWSGI router', uwsgiRouter, fc.record({ device, socket, address: cidr4 })],
  ['host in a network', hostCidr(4), cidr4],
  ['address', hostAddress(4), cidr4.map(({ address }) => address)],
  ['nat', nat, fc.oneof(fc.constantFrom('auto', 'off'), fc.record({ device }))],
  [
    'what nat denies',
    natDenials,
    fc.array(
      fc.oneof(
        fc.record({ network: prefix4 }),
        fc.record({
          protocol: fc.constantFrom('tcp', 'udp'),
          port: fc.integer({ min: 1, max: 65_535 }),
        }),
      ),
      { maxLength: 5 },
    ),
  ],
  ['rule', rule, fc.record({ action, sides: fc.option(sides) })],
  [
    'rule of a vassal',
    deviceRule,
    fc.record({ chain: fc.constantFrom('in', 'out'), action, sides }),
  ],
  ['users', users, fc.uniqueArray(id, { minLength: 1, maxLength: 5 })],
  ['group', group, id],
];

describe('every kind', () => {
  test.each(KINDS)('%s reads back what it wrote', (_, kind, values) => {
    fc.assert(
      fc.property(values, (value) => {
        expect(kind.parse(kind.print(value), CONTEXT)).toMatchObject({ value });
      }),
    );
  });

  test.each(KINDS)('%s never throws, and what it takes it can write', (_, kind) => {
    fc.assert(
      fc.property(fc.oneof(line, fc.string({ unit: 'binary', maxLength: 30 })), (value) => {
        const parsed = kind.parse(value, CONTEXT);
        if ('fault' in parsed) return;
        expect(kind.parse(kind.print(parsed.value), CONTEXT)).toMatchObject({
          value: parsed.value,
        });
      }),
    );
  });
});
