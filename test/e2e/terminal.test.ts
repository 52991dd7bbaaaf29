/** `emperor shell` as whoever sits at a terminal meets it: driven in tmux, whose screen is what he sees. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BINARY, TestEmperor, until } from '../support/emperor.ts';

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

let emperor: TestEmperor;

beforeAll(async () => {
  emperor = new TestEmperor();
  await emperor.start();
  emperor.apply('blog', '[vassal]\ncommand = sleep 1000\n');
  emperor.cliWith({ input: CURSES }, 'exec', 'blog', '--', 'sh', '-c', 'cat > full-screen.py');
  const shell = `${BINARY} --ini ${emperor.ini} shell blog; echo "left with $?"; sleep 1000`;
  tmux('new-session', '-d', '-x', '100', '-y', '30', shell);
});
afterAll(async () => {
  tmux('kill-server');
  await emperor.close();
});

function tmux(...words: readonly string[]): string {
  const socket = join(emperor.directory, 'tmux');
  return execFileSync('tmux', ['-S', socket, '-f', '/dev/null', ...words], { encoding: 'utf8' });
}

const screen = () => tmux('capture-pane', '-p');
const type = (...keys: readonly string[]) => tmux('send-keys', ...keys);

async function seen(what: RegExp): Promise<void> {
  try {
    await until(`${what} is seen`, () => what.test(screen()));
  } catch (cause) {
    throw new Error(`${what} was not seen in\n${screen()}`, { cause });
  }
}

/** Has the shell begin on an empty screen. */
async function clear(): Promise<void> {
  type('clear', 'Enter');
  await seen(/^\S*\$\s*$/);
}

test('a shell has the size of the screen, and follows it', async () => {
  await seen(/\$$/m);
  type('stty size', 'Enter');
  await seen(/^30 100$/m);
  tmux('resize-window', '-x', '120', '-y', '40');
  type('stty size', 'Enter');
  await seen(/^40 120$/m);
});

test('Ctrl-C, Ctrl-Z and Ctrl-\\ do what they do, with job control', async () => {
  await clear();
  type('sleep 1000', 'Enter');
  await seen(/sleep 1000/);
  await until('it sleeps', () => hasProcess('sleep 1000', 2));
  type('C-c', 'echo "status $?"', 'Enter');
  await seen(/^status 130$/m);
  type('sleep 2000', 'Enter');
  await until('it sleeps', () => hasProcess('sleep 2000', 1));
  type('C-z');
  await seen(/Stopped\s+sleep 2000/);
  type('jobs; fg', 'Enter');
  await seen(/fg\n.*Stopped\s+sleep 2000\n.*sleep 2000/);
  type('C-\\');
  await seen(/Quit/);
});

/** True if so many processes in the vassal have this command line. */
function hasProcess(command: string, count: number): boolean {
  const { stdout } = emperor.cli('exec', 'blog', '--', 'ps', '-eo', 'args=');
  return stdout.split('\n').filter((line) => line === command).length === count;
}

test('top fills the screen and knows the processes of the vassal alone', async () => {
  await clear();
  type('top', 'Enter');
  await seen(/^Tasks:\s+\d+ total/m);
  await seen(/\binit$/m);
  expect(screen()).not.toMatch(/node/);
  type('q');
  await seen(/\$$/m);
});

test('a program of curses sees keys, and each change of the size', async () => {
  await clear();
  type('python3 full-screen.py', 'Enter');
  await seen(/^120 by 40, key ''$/m);
  type('Left');
  await seen(/key 'KEY_LEFT'$/m);
  tmux('resize-window', '-x', '77', '-y', '22');
  await seen(/^77 by 22, key 'KEY_RESIZE'$/m);
  type('q');
  await seen(/\$$/m);
});

test('the terminal is as before when the shell is left, whose status is ours', async () => {
  type('exit 9', 'Enter');
  await seen(/^left with 9$/m);
});
