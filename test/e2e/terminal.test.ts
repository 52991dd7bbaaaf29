/** A terminal inside, by `emperor shell` and by ssh, as whoever sits at it meets it: in tmux, whose screen is what he sees. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BINARY } from '../support/emperor.ts';
import { LENT_ENV, SshMachine } from '../support/ssh-machine.ts';
import { until } from '../support/wait.ts';

const CURSES = `import curses
def main(screen):
    key = ''
    while key != 'q':
        height, width = screen.getmaxyx()
        screen.erase()
        screen.addstr(height - 1, 0, f'{width} by {height}, key {key!r}'[:width - 1])
        key = screen.getkey()
curses.wrapper(main)
`;

/** More processes than any screen has lines. */
const VASSAL = `[vassal]
command = sh -c 'for i in $(seq 60); do sleep 3000 & done; exec sleep 1000'
ssh-user = c-blog
${LENT_ENV}`;

let m: SshMachine;

beforeAll(async () => {
  m = await SshMachine.make();
  await m.emperor.start();
  m.emperor.apply('blog', VASSAL);
  m.emperor.cliWith({ input: CURSES }, 'exec', 'blog', '--', 'sh', '-c', 'cat > full-screen.py');
  expect(m.setUp('blog', 'c-blog', '--write')).toMatchObject({ status: 0 });
  await m.startSshd();
  await until('he can come in', () => m.ssh('c-blog', ['true']).status === 0, 20_000);
});
afterAll(() => m.close());

const WAYS: readonly (readonly [string, () => readonly string[]])[] = [
  ['`emperor shell`', () => [BINARY, '--ini', m.emperor.ini, 'shell', 'blog']],
  ['partly M82: ssh, by two terminals in a chain', () => m.line(m.sshLine('c-blog', [], ['-t']))],
];

describe.each(WAYS)('%s', (_, lineOf) => {
  beforeAll(() => {
    const line = lineOf().map((word) => `'${word}'`);
    const shell = `${line.join(' ')}; echo "left with $?"; sleep 1000`;
    tmux('new-session', '-d', '-x', '100', '-y', '30', shell);
  });
  afterAll(() => void tmux('kill-server'));

  test('a shell has the size of the screen, and follows it', async () => {
    await seen(/\$$/m);
    type('stty size', 'Enter');
    await seen(/^30 100$/m);
    resize(120, 40);
    // It comes a moment later.
    type('until stty size | grep "^40 120"; do sleep 0.02; done', 'Enter');
    await seen(/^40 120$/m);
  });

  test('Ctrl-C, Ctrl-Z and Ctrl-\\ do what they do, with job control', async () => {
    await clear();
    type('sleep 1000', 'Enter');
    await seen(/sleep 1000/);
    await until('it sleeps', () => hasProcess('sleep 1000', 2), 20_000);
    type('C-c', 'echo "status $?"', 'Enter');
    await seen(/^status 130$/m);
    type('sleep 2000', 'Enter');
    await until('it sleeps', () => hasProcess('sleep 2000', 1), 20_000);
    type('C-z');
    await seen(/Stopped\s+sleep 2000/);
    type('jobs; fg', 'Enter');
    await seen(/fg\n.*Stopped\s+sleep 2000\n.*sleep 2000/);
    type('C-\\');
    await seen(/Quit/);
  });

  test('top fills the screen, follows its size, and knows the processes of the vassal alone', async () => {
    resize(100, 20);
    await clear();
    type('top', 'Enter');
    await seen(/^Tasks:\s+\d+ total/m);
    await seen(/\binit$/m);
    expect(screen()).not.toMatch(/node/);
    expect(linesLike(/ sleep$/)).toBeLessThan(20);
    resize(120, 40);
    await until('top has more lines', () => linesLike(/ sleep$/) > 25);
    type('q');
    await seen(/\$$/m);
  });

  test('a program of curses sees keys, and each change of the size', async () => {
    await clear();
    type('python3 full-screen.py', 'Enter');
    // tmux may tell of a size twice.
    await seen(/^120 by 40, key '(KEY_RESIZE)?'$/m);
    type('Left');
    await seen(/key 'KEY_LEFT'$/m);
    resize(77, 22);
    await seen(/^77 by 22, key 'KEY_RESIZE'$/m);
    type('q');
    await seen(/\$$/m);
  });

  test('vim edits a file, fills the screen, and follows its size', async () => {
    await clear();
    type('/opt/bin/vim* -u NONE -N note', 'Enter');
    await seen(/^(~\n){18}/m);
    type('ihello from vim', 'Escape');
    await seen(/^hello from vim$/m);
    resize(100, 30);
    await seen(/^(~\n){26}/m);
    type(':set columns? lines?', 'Enter');
    await seen(/columns=100\s+lines=30/);
    type('Enter', ':wq', 'Enter');
    await seen(/\$$/m);
    type('cat note; rm note', 'Enter');
    await seen(/^hello from vim$/m);
  });

  test('the terminal is as before when the shell is left, whose status is ours', async () => {
    type('exit 9', 'Enter');
    await seen(/^left with 9$/m);
  });
});

function tmux(...words: readonly string[]): string {
  const socket = join(m.emperor.directory, 'tmux');
  return execFileSync('tmux', ['-S', socket, '-f', '/dev/null', ...words], { encoding: 'utf8' });
}

const screen = () => tmux('capture-pane', '-p');
const type = (...keys: readonly string[]) => tmux('send-keys', ...keys);

function resize(columns: number, rows: number): void {
  tmux('resize-window', '-x', String(columns), '-y', String(rows));
}

/** How many lines of the screen are like that. */
const linesLike = (what: RegExp) =>
  screen()
    .split('\n')
    .filter((line) => what.test(line)).length;

async function seen(what: RegExp): Promise<void> {
  try {
    await until(`${what} is seen`, () => what.test(screen()), 20_000);
  } catch (cause) {
    throw new Error(`${what} was not seen in\n${screen()}`, { cause });
  }
}

/** Has the shell begin on an empty screen. */
async function clear(): Promise<void> {
  type('clear', 'Enter');
  await seen(/^\S*\$\s*$/);
}

/** True if so many processes in the vassal have this command line. */
function hasProcess(command: string, count: number): boolean {
  const { stdout } = m.emperor.cli('exec', 'blog', '--', 'ps', '-eo', 'args=');
  return stdout.split('\n').filter((line) => line === command).length === count;
}
