/** `ready` and `watchdog` under a whole emperor: what processes say of themselves, and what is found out about them. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestEmperor, until } from '../support/emperor.ts';
import { signal } from '../support/proc.ts';

let emperor: TestEmperor;
let programs: string;
const status = (name: string) => emperor.status(name);

beforeAll(async () => {
  emperor = new TestEmperor({ ini: 'emperor-throttle = 20\nemperor-max-throttle = 200' });
  programs = join(emperor.directory, 'programs');
  mkdirSync(programs);
  writeFileSync(join(programs, 'says.py'), SAYS);
  await emperor.start();
});
afterAll(() => emperor.close());

const textOf = (lines: readonly string[]) =>
  ['[vassal]', 'stop-grace = 1s', ...lines, ''].join('\n');
const apply = (name: string, ...lines: readonly string[]) => emperor.apply(name, textOf(lines));
const inside = (name: string, script: string) =>
  emperor.cli('exec', name, '--', 'sh', '-c', script);

/** Says what stands in the home's file `say` to its socket, again and again. */
const SAYS = `import os, socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect('\\0' + os.environ['NOTIFY_SOCKET'][1:])
while True:
    try: text = open('say').read()
    except OSError: text = ''
    if text: s.send(text.encode())
    time.sleep(0.02)
`;

test('without `ready` a vassal is ready when it runs', () => {
  apply('plain', 'command = sleep 1000');
  emperor.wait('plain', 'ready', '5s');
  expect(status('plain').ready).toBe(true);
});

/** A vassal whose command says what is written to its `say`. */
const talker = (name: string, ...lines: readonly string[]) =>
  apply(name, `bind = ${programs} /srv`, 'command = python3 /srv/says.py', ...lines);
const say = (name: string, text: string) =>
  inside(name, `printf '${text}' > ~/say.new; mv ~/say.new ~/say`);

/** True if it becomes ready within a moment. */
function becomesReady(name: string): boolean {
  return emperor.cli('wait', name, '--for', 'ready', '--timeout', '100ms').status === 0;
}

test('`ready = notify` waits for READY=1 of the command, each time that it is started', async () => {
  talker('notify', 'ready = notify');
  expect(becomesReady('notify')).toBe(false);
  expect(status('notify')).toMatchObject({ state: 'running', ready: false });
  say('notify', 'STATUS=soon\nREADY=0\nNOTREADY=1');
  expect(becomesReady('notify')).toBe(false);
  say('notify', 'STATUS=here\nREADY=1');
  emperor.wait('notify', 'ready', '5s');

  inside('notify', 'rm ~/say');
  signal(status('notify').processes[0]?.pid, 'SIGKILL');
  await until('it runs again', () => status('notify').restarts === 1);
  expect(status('notify').ready).toBe(false);
  say('notify', 'READY=1');
  emperor.wait('notify', 'ready', '5s');
});

test('what was ready stays so for the next emperor, and what was not does not', async () => {
  talker('said', 'ready = notify');
  talker('unsaid', 'ready = notify');
  say('said', 'READY=1');
  emperor.wait('said', 'ready', '5s');
  inside('said', 'rm ~/say');
  await emperor.signal('SIGKILL');
  await emperor.start();
  emperor.wait('said', 'ready', '5s');
  expect(becomesReady('unsaid')).toBe(false);
  say('unsaid', 'READY=1');
  emperor.wait('unsaid', 'ready', '5s');
});

test('`ready = fd` waits for a line end on descriptor 3', () => {
  apply(
    'fd',
    'ready = fd',
    `command = sh -c 'until [ -e go ]; do sleep 0.02; done; echo >&$READY_FD; exec sleep 1000'`,
  );
  expect(becomesReady('fd')).toBe(false);
  inside('fd', 'touch ~/go');
  emperor.wait('fd', 'ready', '5s');
  expect(status('fd').restarts).toBe(0);
});

test('`ready = port` waits for somebody of the vassal to listen inside, be it a daemon', async () => {
  apply('elsewhere', 'attach-daemon = python3 -m http.server 8081', 'ready = port:8081');
  emperor.wait('elsewhere', 'ready', '10s');
  apply('port', 'command = sleep 1000', 'ready = port:8081');
  expect(becomesReady('port')).toBe(false);
  apply(
    'port',
    'command = sleep 1000',
    'ready = port:8081',
    'attach-daemon = python3 -m http.server 8081 -b 127.0.0.1',
  );
  emperor.wait('port', 'ready', '10s');
  await emperor.signal('SIGKILL');
  await emperor.start();
  emperor.wait('port', 'ready', '10s');
});

test('`ready = path` waits for a file inside, whatever the host has', () => {
  apply('path', 'command = sleep 1000', `ready = path:${emperor.ini}`);
  expect(becomesReady('path')).toBe(false);
  apply('path', 'command = sleep 1000', 'ready = path:run/there');
  inside('path', 'mkdir ~/run; ln -s /etc/nothing ~/run/there');
  expect(becomesReady('path')).toBe(false);
  inside('path', 'ln -sf /etc/passwd ~/run/there');
  emperor.wait('path', 'ready', '5s');
});

test('M50: a command that falls silent is restarted, with the reason; one that speaks is not, nor one that is frozen', async () => {
  talker('watched', 'watchdog = 1s', 'ready = notify');
  talker('lively', 'watchdog = 1s', 'ready = notify');
  say('lively', 'READY=1\nWATCHDOG=1');
  emperor.wait('lively', 'ready', '5s');
  say('watched', 'READY=1');
  emperor.wait('watched', 'ready', '5s');
  emperor.cli('freeze', 'watched');
  const frozen = performance.now();
  await until('more than its time has passed', () => performance.now() - frozen > 1300);
  expect(status('watched')).toMatchObject({ state: 'frozen', restarts: 0 });
  emperor.cli('thaw', 'watched');
  await until('a moment more', () => performance.now() - frozen > 1900);
  expect(status('watched').restarts).toBe(0);
  inside('watched', 'rm ~/say');
  await until('a restart', () => status('watched').restarts === 1);
  await until('it runs again', () => status('watched').state === 'running');
  expect(status('watched')).toMatchObject({
    lastError: 'its command was silent for 1 s, more than `watchdog` lets it',
    lastExit: { signal: 'SIGTERM' },
    ready: false,
  });
  expect(status('lively').restarts).toBe(0);
  // Who has not said READY=1 yet takes its time to start.
  expect(status('watched').restarts).toBe(1);
});
