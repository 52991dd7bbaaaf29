/** The keys of attached daemons: what they say, what they refuse, and what does not go together. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { daemonsOf } from '../../../src/config/judge-processes.ts';
import {
  attachedDaemon,
  type Daemon,
  smartDaemon,
  tunedDaemon,
} from '../../../src/config/kinds/daemons.ts';
import type { Kind } from '../../../src/config/kinds/kind.ts';
import { ready } from '../../../src/config/kinds/ready.ts';
import { brief, resolve, vassalOf } from '../../support/configuration.ts';

const CONTEXT = { directory: '/', lookupUser: () => undefined, lookupGroup: () => undefined };

function read(kind: Kind<Daemon>, text: string): Partial<Daemon> | readonly string[] {
  const parsed = kind.parse(text, CONTEXT);
  if (!('fault' in parsed)) return parsed.value;
  return [parsed.fault, ...(parsed.more ?? [])].map(
    ({ message, offset }) => `${offset ?? '-'}: ${message}`,
  );
}

describe('attach-daemon', () => {
  test('is a command, split as `command` is', () => {
    expect(read(attachedDaemon, `redis-server --save ""`)).toMatchObject({
      command: ['redis-server', '--save', ''],
      pidFile: null,
      isControl: false,
      stopSignal: 15,
    });
    expect(read(attachedDaemon, `redis-server 'x`)).toEqual(["13: the quote `'` is never closed"]);
  });

  test('warns of shell syntax where it stands', () => {
    const { diagnostics } = resolve('[vassal]\nattach-daemon = a && b\n');
    expect(brief(diagnostics)).toEqual(['2:19 shell-syntax']);
  });
});

describe('smart-attach-daemon', () => {
  test.each([
    [
      '/run/r.pid redis --x 1',
      { pidFile: '/run/r.pid', freqMs: null, command: ['redis', '--x', '1'] },
    ],
    ['/run/r.pid,3 redis', { pidFile: '/run/r.pid', freqMs: 3000, command: ['redis'] }],
    ['/run/r.pid 3 redis', { pidFile: '/run/r.pid', freqMs: 3000, command: ['redis'] }],
    ['r.pid 3', { pidFile: 'r.pid', freqMs: null, command: ['3'] }],
    ['/run/r.pid', ['-: `/run/r.pid` is no daemon']],
    ['/run/r.pid 0 redis', ['-: `0` is no number of seconds']],
    ['/run/r.pid 4000 redis', ['-: `4000` is no number of seconds']],
    [`/run/r.pid redis "x`, ['17: the quote `"` is never closed']],
  ])('%s', (text, expected) => {
    const got = read(smartDaemon, text);
    if (Array.isArray(expected)) expect(got).toEqual(expected);
    else expect(got).toMatchObject(expected);
  });
});

describe('attach-daemon2', () => {
  test('says all that uWSGI has names for', () => {
    const text =
      'cmd=redis-server --port 1,name=cache,pidfile=run/r.pid,freq=5,control=1,touch=/a;b c,stopsignal=INT,reloadsignal=1,chdir=data,uid=7,gid=8';
    expect(read(tunedDaemon, text)).toEqual({
      command: ['redis-server', '--port', '1'],
      name: 'cache',
      pidFile: 'run/r.pid',
      freqMs: 5000,
      isControl: true,
      touch: ['/a', 'b c'],
      stopSignal: 2,
      reloadSignal: 1,
      chdir: 'data',
      uid: 7,
      gid: 8,
    });
  });

  test.each([
    ['cmd=sh -c "a, b",freq=1', ['sh', '-c', 'a, b']],
    ['cmd="redis --save 1,2" , freq=1', ['redis', '--save', '1,2']],
    [`exec='a b'`, ['a', 'b']],
    [`command="'a b'"`, ['a b']],
    [String.raw`cmd=a\,b`, ['a,b']],
  ])('%s keeps commas and blanks that are quoted', (text, command) => {
    expect(read(tunedDaemon, text)).toMatchObject({ command });
  });

  test.each([
    ['freq=1', ['-: it has no `cmd`']],
    ['cmd=', ['0: `cmd`: it names no program']],
    ['cmd=a --save 1,2', ['15: `2` is no KEY=VALUE']],
    ['cmd=a,contrl=1', ['6: `contrl` is no key of a daemon']],
    ['cmd=a,daemonize=1', ['6: `daemonize` is no key of a daemon']],
    ['cmd=a,cmd=b', ['6: `cmd` stands twice']],
    ['cmd=a,control=maybe', ['6: `control`: `maybe` is neither `1` nor `0`']],
    ['cmd=a,freq=0', ['6: `freq`: `0` is no number of seconds']],
    ['cmd=a,uid=0', ['6: `uid`: `0` is no uid but 0']],
    ['cmd=a,stopsignal=NO', ['6: `stopsignal`: `NO` is no signal']],
    ['cmd=a,name=a b', [expect.stringMatching(/^6: `name`: `a b` is no name/)]],
    ['cmd=a,chdir=a b', [expect.stringMatching(/^6: `chdir`: `a b` is no path/)]],
    ['cmd=a,touch=', ['6: `touch`: it names no file']],
    [`cmd='a`, ["4: the quote `'` is never closed"]],
    ['cmd=a,toString=1,x', ['6: `toString` is no key of a daemon', '17: `x` is no KEY=VALUE']],
  ])('%s is refused where it is wrong', (text, faults) => {
    expect(read(tunedDaemon, text)).toEqual(faults);
  });
});

describe('what is printed', () => {
  const words = fc.array(fc.string({ minLength: 1, unit: 'grapheme-ascii' }), { minLength: 1 });
  const inner = fc.stringMatching(/^[/a-z][a-z, '"/]{0,9}[a-z]$/);

  test('reads back as the same daemon', () => {
    fc.assert(
      fc.property(words, fc.option(inner), fc.array(inner), (command, chdir, touch) => {
        const daemon = { ...(read(attachedDaemon, 'x') as Daemon), command, chdir, touch };
        const plain = { ...daemon, chdir: null, touch: [] };
        expect(read(tunedDaemon, tunedDaemon.print(daemon))).toEqual(daemon);
        expect(read(attachedDaemon, attachedDaemon.print(plain))).toEqual(plain);
        const smart = { ...plain, pidFile: '/run/x.pid', freqMs: 3000 };
        expect(read(smartDaemon, smartDaemon.print(smart))).toEqual(smart);
      }),
    );
  });
});

describe('the keys together', () => {
  const findings = (lines: string, more = {}) =>
    resolve(`[vassal]\n${lines}`, more).diagnostics.map(
      ({ line, column, message }) => `${line}:${column} ${message}`,
    );

  test('start by key, then in the order of the file', () => {
    const config = vassalOf(
      'smart-attach-daemon = /p c\nattach-daemon2 = cmd=b\nattach-daemon = a\nattach-daemon = a\n',
    );
    expect(daemonsOf(config).map(({ command }) => command[0])).toEqual(['a', 'a', 'b', 'c']);
    expect(daemonsOf({})).toEqual([]);
  });

  test('do not let one run as somebody else', () => {
    expect(findings('attach-daemon2 = cmd=a\nattach-daemon2 = cmd=b,uid=5\n')).toEqual([
      "3:18 Cannot run a daemon with uid 5: it runs as the vassal's own user",
    ]);
    expect(findings('uid = 5\nattach-daemon2 = cmd=b,gid=6\n')).toEqual([
      "3:18 Cannot run a daemon with gid 6: it runs as the vassal's own user",
    ]);
    expect(findings('uid = 5\nattach-daemon2 = cmd=b,uid=5,gid=5\n')).toEqual([]);
  });

  test('have each name once, and not too many daemons', () => {
    expect(findings('attach-daemon2 = cmd=a,name=x\nattach-daemon2 = cmd=b,name=x\n')).toEqual([
      '3:18 Cannot have two daemons called `x`',
    ]);
    const many = (count: number) => findings('attach-daemon = a\n'.repeat(count));
    expect(many(32)).toEqual([]);
    expect(many(33)).toEqual(['34:17 Cannot attach 33 daemons: a vassal has 32 at most']);
  });

  test('say when `freq` means nothing', () => {
    expect(findings('attach-daemon2 = cmd=a,freq=5\n')).toEqual([
      '2:18 `freq` changes nothing here: there is neither `pidfile` nor `touch`',
    ]);
    expect(findings('attach-daemon2 = cmd=a,freq=5,touch=x\n')).toEqual([]);
  });
});

describe('ready and watchdog', () => {
  test.each([
    ['notify', { how: 'notify' }],
    ['fd', { how: 'fd' }],
    ['port:8080', { how: 'port', port: 8080 }],
    ['path:/run/app.sock', { how: 'path', path: '/run/app.sock' }],
    ['path:a b', { how: 'path', path: 'a b' }],
  ])('%s', (text, expected) => {
    const parsed = ready.parse(text, CONTEXT);
    expect(parsed).toEqual({ value: expected });
    if ('value' in parsed) expect(ready.print(parsed.value)).toBe(text);
  });

  test.each(['', 'yes', 'port:', 'port:0', 'port:65536', 'port:80x', 'path:', 'fd:3'])(
    '`%s` is refused',
    (text) => {
      expect(ready.parse(text, CONTEXT)).toHaveProperty('fault');
    },
  );

  test('need a command, where it is the command that speaks', () => {
    const found = (lines: string) => brief(resolve(`[vassal]\n${lines}`).diagnostics);
    expect(found('ready = notify\n')).toEqual(['2:9 bad-value']);
    expect(found('ready = fd\n')).toEqual(['2:9 bad-value']);
    expect(found('ready = port:80\n')).toEqual([]);
    expect(found('watchdog = 30s\n')).toEqual(['2:12 has-no-effect']);
    expect(found('command = a\nwatchdog = 30s\nready = fd\n')).toEqual([]);
  });
});
