/** What commands parse and render: pure parts, by themselves. */
import { describe, expect, test } from 'vitest';
import { EmperorError } from '../../../src/base/errors.ts';
import { attachArguments } from '../../../src/cli/attach.ts';
import { renderBanner } from '../../../src/cli/banner.ts';
import { renderValues } from '../../../src/cli/commands/cat.ts';
import { summaryOf } from '../../../src/cli/commands/check.ts';
import { renderReport } from '../../../src/cli/commands/distro.ts';
import { parseSince, renderEvent } from '../../../src/cli/commands/events.ts';
import { parseExecWords } from '../../../src/cli/commands/exec.ts';
import { parseLines } from '../../../src/cli/commands/logs.ts';
import { renderList } from '../../../src/cli/commands/ls.ts';
import { renderChanges } from '../../../src/cli/commands/plan.ts';
import { renderStats } from '../../../src/cli/commands/stats.ts';
import { renderStatus, statusOfState } from '../../../src/cli/commands/status.ts';
import { parseWait } from '../../../src/cli/commands/wait.ts';
import { statusOfError } from '../../../src/cli/exit.ts';
import { renderJailPlan } from '../../../src/cli/jail-plan.ts';
import { VASSAL_STATES } from '../../../src/emperor/governor.ts';
import { ErrnoError } from '../../../src/linux/errno.ts';
import { emperorStats, vassalStatus } from '../../support/governor.ts';

const NOW = Date.parse('2026-01-02T03:06:10.000Z');
const usage = expect.objectContaining({ code: 'bad-usage' });

describe('exit statuses', () => {
  test.each([
    ['bad-usage', 2],
    ['no-such-vassal', 4],
    ['not-reachable', 69],
    ['already-running', 75],
    ['not-permitted', 77],
    ['bad-config', 78],
    ['timeout', 124],
    ['conflict', 1],
  ] as const)('%s is %i', (code, status) => {
    expect(statusOfError(new EmperorError(code, 'x'))).toBe(status);
  });

  test('a failed system call is 1, a bug has none', () => {
    expect(statusOfError(new ErrnoError('openat2', 13))).toBe(1);
    expect(statusOfError(new TypeError('x is not a function'))).toBeUndefined();
  });

  test('`status` is 0 for what runs, 3 for every other state', () => {
    const running = VASSAL_STATES.filter((state) => statusOfState({ state }) === 0);
    expect(running).toEqual(['running', 'reloading']);
    expect(statusOfState({ state: 'stopped' })).toBe(3);
  });
});

describe('ls', () => {
  test('shows a vassal a line, with what is wrong in the last column', () => {
    const lastExit = { code: 1, signal: null, reason: 'exit', at: '' } as const;
    const diagnostic = {
      file: 'f',
      line: 3,
      column: 1,
      severity: 'error',
      code: 'unknown-key',
      message: 'There is no key `comand`',
    } as const;
    const vassals = [
      vassalStatus('blog'),
      vassalStatus('fails', {
        state: 'backoff',
        pid: null,
        restarts: 4,
        lastExit,
        nextAttemptAt: '2026-01-02T03:06:14.000Z',
      }),
      vassalStatus('typo', {
        config: { ...vassalStatus('typo').config, valid: false, diagnostics: [diagnostic] },
      }),
    ];
    expect(renderList(vassals, { nowMs: NOW })).toBe(
      [
        'NAME   STATE     PID  UPTIME  RESTARTS  DISTRO    TROUBLE',
        'blog   running  4242   2m05s         0  bookworm',
        'fails  backoff     -       -         4  bookworm  its command ended: exit 1; next attempt in 4s',
        'typo   running  4242   2m05s         0  bookworm  line 3: There is no key `comand`',
        '',
      ].join('\n'),
    );
  });
});

describe('status', () => {
  test('shows facts and processes, and leaves out what there is not', () => {
    const text = renderStatus(
      vassalStatus('blog', {
        processes: [
          {
            id: '1',
            kind: 'command',
            label: 'web',
            pid: 77,
            state: 'running',
            command: ['a', 'b\u001b'],
          },
        ],
      }),
      { nowMs: NOW },
    );
    expect(text).toMatch(/^blog {2}running\n/);
    expect(text).toMatch(/^ {2}since {7}2026-01-02T03:04:05.000Z \(2m05s\)$/m);
    expect(text).toMatch(/^ {9}77 command web {2}a b\\x1b$/m);
    expect(text).not.toMatch(/trouble|last exit|address/);
  });

  test('says that the last good one runs where the file is invalid', () => {
    const config = { ...vassalStatus('blog').config, valid: false };
    expect(renderStatus(vassalStatus('blog', { config }), { nowMs: NOW })).toMatch(/last good one/);
  });
});

test('status tells how much of the day is used, and until when a vassal that has used all is in the tarpit', () => {
  const budget = { budgetSeconds: 7200, renewedAt: '2026-01-03T00:00:00.000Z' };
  const textOf = (usedSeconds: number, isSpent: boolean) => {
    const dailyCpu = { ...budget, usedSeconds, isSpent };
    return renderStatus(vassalStatus('blog', { dailyCpu }), { nowMs: NOW });
  };
  expect(textOf(4320, false)).toMatch(/^ {2}daily cpu {3}1h12m of 2h00m$/m);
  expect(textOf(7260, true)).toMatch(
    /^ {2}daily cpu {3}2h01m of 2h00m, in the tarpit until 2026-01-03T00:00:00\.000Z$/m,
  );
});

test('status names the daemons that do not run, and why', () => {
  const daemon = { failures: 2, nextAttemptAt: null };
  const daemons = [
    { ...daemon, label: 'redis', state: 'running', lastError: null },
    { ...daemon, label: 'cache', state: 'backoff', lastError: 'it ended: exit 1' },
  ] as const;
  const text = renderStatus(vassalStatus('blog', { daemons }), { nowMs: NOW });
  expect(text).toMatch(/daemon {6}cache: backoff, it ended: exit 1/);
  expect(text).not.toContain('redis');
});

describe('wait', () => {
  test('takes several conditions, a hash and a timeout', () => {
    const sha = 'A'.repeat(64);
    expect(parseWait(`running,applied=${sha}`, '1m30s')).toEqual({
      conditions: ['running', 'applied'],
      sha256: sha.toLowerCase(),
      timeoutMs: 90_000,
    });
    expect(parseWait('gone', '500ms')).toEqual({ conditions: ['gone'], timeoutMs: 500 });
  });

  test.each([
    [undefined, '1s'],
    ['', '1s'],
    ['never', '1s'],
    ['running=abc', '1s'],
    ['applied=abc', '1s'],
    ['running', 'soon'],
  ])('%j within %j is a usage error', (conditions, timeout) => {
    expect(() => parseWait(conditions, timeout)).toThrow(usage);
  });
});

describe('exec', () => {
  test.each([
    [['blog', '--', 'ls', '-l'], { name: 'blog', hasTty: false, command: ['ls', '-l'] }],
    [['blog', '-t', '--', 'sh'], { name: 'blog', hasTty: true, command: ['sh'] }],
    [
      ['blog', '--tty', 'sh', '-c', 'x'],
      { name: 'blog', hasTty: true, command: ['sh', '-c', 'x'] },
    ],
    [['blog', 'ls', '--', '-t'], { name: 'blog', hasTty: false, command: ['ls', '--', '-t'] }],
    [['blog', '--', '--', 'x'], { name: 'blog', hasTty: false, command: ['--', 'x'] }],
  ])('%j', (words, wanted) => {
    expect(parseExecWords(words)).toEqual(wanted);
  });

  test.each([[['blog']], [['blog', '--']], [['blog', '-t']], [['blog', '-x', 'ls']]])(
    '%j is a usage error',
    (words) => {
      expect(() => parseExecWords(words)).toThrow(usage);
    },
  );

  test('the C program gets socket, directory, environment and the command', () => {
    const target = {
      program: '/p',
      socket: '/s',
      cwd: '/home/blog',
      env: ['A=1'],
      shell: '/bin/sh',
      home: '/home/blog',
    };
    const command = ['ls', '--tty'];
    expect(attachArguments(target, { label: 'exec', kind: 'exec', hasTty: true, command })).toEqual(
      'attach /s /home/blog --label exec --kind exec --tty --env A=1 -- ls --tty'.split(' '),
    );
  });
});

describe('events', () => {
  test.each([
    [undefined, null],
    ['2026-01-02T03:04:05Z', '2026-01-02T03:04:05.000Z'],
    ['10m', '2026-01-02T02:56:10.000Z'],
    ['90', '2026-01-02T03:04:40.000Z'],
  ])('--since %j is %j', (text, wanted) => {
    expect(parseSince(text, NOW)).toBe(wanted);
  });

  test.each(['yesterday', '', '99999999999d'])('--since %j is a usage error', (text) => {
    expect(() => parseSince(text, NOW)).toThrow(usage);
  });

  test('an event is one line, whatever its fields hold', () => {
    const event = {
      id: 1,
      at: 'T',
      event: 'state',
      vassal: 'blog',
      message: 'a\nb',
      state: 'x',
      n: 3,
    };
    expect(renderEvent(event)).toBe('T  blog  state  a\\x0ab state=x n=3\n');
  });
});

test('logs -n takes whole numbers only', () => {
  expect(parseLines(undefined)).toBeUndefined();
  expect(parseLines('0')).toBe(0);
  for (const text of ['-1', 'all', '1.5', '']) expect(() => parseLines(text)).toThrow(usage);
});

test('check counts files, errors and warnings', () => {
  const diagnostic = { file: 'f', line: 1, column: 1, code: 'c', message: 'm' };
  expect(summaryOf(1, [])).toBe('1 file: 0 errors, 0 warnings');
  expect(
    summaryOf(2, [
      { ...diagnostic, severity: 'error' },
      { ...diagnostic, severity: 'warning' },
    ]),
  ).toBe('2 files: 1 error, 1 warning');
});

test('plan shows action, cost and reason', () => {
  const change = {
    name: 'a',
    action: 'change',
    cost: 'live',
    keys: ['k'],
    reason: 'changed: k',
  } as const;
  expect(renderChanges([change])).toBe(
    'NAME  ACTION  COST  REASON\na     change  live  changed: k\n',
  );
});

test('a jail plan is a numbered line a step, with modes in octal', () => {
  const text = renderJailPlan({
    name: 'a',
    generation: 1,
    hash: '',
    namespaces: ['fs', 'pid'],
    steps: [{ op: 'private' }, { op: 'directory', target: '/x y', mode: 0o755 }],
  });
  expect(text).toBe(
    'a: namespaces fs pid\n  0 private\n  1 directory    target="/x y" mode=0755\n',
  );
});

test('cat --resolved shows where each value comes from', () => {
  expect(renderValues([{ key: 'k', value: 'v', origin: 'f:1' }])).toBe(
    'KEY  VALUE  FROM\nk    v      f:1\n',
  );
});

test('stats shows conditions that an operator should know', () => {
  const text = renderStats(emperorStats({ conditions: ['held for 30 s'] }), NOW);
  expect(text).toMatch(/^condition {4}held for 30 s$/m);
  expect(text).toMatch(/^vassals {6}none$/m);
});

test('stats shows what merging of memory saves, where it is on', () => {
  const textOf = (state: 'on' | 'off') =>
    renderStats(emperorStats({ ksm: { state, savedBytes: 3 << 20 } }), NOW);
  expect(textOf('on')).toMatch(/^ksm {10}saves 3\.0M$/m);
  expect(textOf('off')).not.toContain('ksm');
});

test('distro verify tells every problem with its fix, and the verdict', () => {
  const text = renderReport({
    name: 'odd',
    path: '/distros/odd',
    osRelease: null,
    isUsable: false,
    problems: [
      { severity: 'error', path: '/distros/odd/dev', message: '/dev is a symlink', fix: 'rm it' },
    ],
    etcFiles: [],
    missingEtcFiles: [],
    hasShell: true,
    hasBash: true,
    setuidFiles: [],
  });
  expect(text).toBe('error: /dev is a symlink\n  fix: rm it\nodd (no os-release): not usable\n');
});

describe('the banner', () => {
  const source = {
    program: '/checkout/bin/emperor',
    workingDirectory: '/checkout',
    globals: { socket: undefined, ini: 'emperor.ini', json: false, color: true },
    runDirectory: '/run/emperor',
    isRunDirectorySet: false,
    file: '/checkout/emperor.ini',
    vassals: [vassalStatus('broken', { state: 'backoff', failures: 2 }), vassalStatus('tour')],
  };

  test('names three commands to try, with a vassal that runs', () => {
    const lines = renderBanner(source).split('\n');
    expect(lines.filter((line) => line.startsWith('  '))).toEqual([
      '  ./bin/emperor ls',
      '  ./bin/emperor logs tour -f',
      '  ./bin/emperor exec tour -- ps -ef',
    ]);
  });

  test('gives --ini where the run-dir is not the default', () => {
    const text = renderBanner({ ...source, runDirectory: '/tmp/run' });
    expect(text).toContain('  ./bin/emperor --ini emperor.ini ls\n');
  });

  test('gives --socket where the run-dir is known from --set only', () => {
    const text = renderBanner({ ...source, runDirectory: '/tmp/run', isRunDirectorySet: true });
    expect(text).toContain('  ./bin/emperor --socket /tmp/run/emperor.sock ls\n');
  });

  test('has something to try without vassals', () => {
    expect(renderBanner({ ...source, vassals: [] })).toMatch(/no vassals yet.*check.*doctor/s);
  });
});
