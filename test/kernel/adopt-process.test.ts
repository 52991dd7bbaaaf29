/** ADOPT and LOOK: init finds daemons that went into the background by files that are the tenant's own. */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  openSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { TestJail } from '../support/jail.ts';
import { useJails } from '../support/jails.ts';
import { until } from '../support/wait.ts';
import type { World } from '../support/world.ts';

let w: World;
const { vassal } = useJails('a', (given) => {
  w = given;
});

const SIGKILL = 9;
const innerHome = (jail: TestJail) => `/home/${jail.plan.name}`;

/** Path on the host of what the vassal sees as its home's `name`. */
const inHome = (jail: TestJail, name: string) => join(w.paths.homes, jail.plan.name, name);

/** Leaves a process in the background; resolves with its pid inside. */
async function background(jail: TestJail): Promise<number> {
  await jail.run(['/bin/forks-twice'], { label: 'twice' });
  let pids: readonly number[] = [];
  await until('it is alone', () => {
    pids = w.membership.payloadPids(jail.plan.name);
    return pids.length === 1 && w.logOf(jail.plan.name).includes('daemon');
  });
  const status = execFileSync('grep', ['NSpid', `/proc/${pids[0]}/status`], { encoding: 'utf8' });
  return Number(status.trim().split(/\s+/).at(-1));
}

const adopt = (jail: TestJail, slot: bigint, file: string) =>
  jail.init.adopt({ slot, kind: 'daemon', label: 'found', pidFile: `${innerHome(jail)}/${file}` });

test('a process in the background gets a slot: it is listed, signalled, and its end is told', async () => {
  const jail = await vassal();
  const pid = await background(jail);
  writeFileSync(inHome(jail, 'pid'), `  ${pid}\n`);
  await adopt(jail, 77n, 'pid');
  await adopt(jail, 77n, 'pid');
  const ended = new Promise((resolve) => jail.init.onExit(resolve));
  expect(await jail.init.list()).toMatchObject([
    {
      slot: 77n,
      kind: 'daemon',
      label: 'found',
      pid,
      state: 'running',
      argv: ['/bin/forks-twice'],
    },
  ]);
  await expect(adopt(jail, 78n, 'pid')).rejects.toThrow('ESRCH');
  await jail.init.signal(77n, SIGKILL);
  expect(await ended).toMatchObject({ slot: 77n, kind: 'daemon', label: 'found', status: SIGKILL });
  await expect(adopt(jail, 79n, 'pid')).rejects.toThrow('ESRCH');
});

test('nothing but the number of a background process is believed', async () => {
  const jail = await vassal();
  const { pid } = await jail.start(['/bin/forever']);
  const cases: Readonly<Record<string, string>> = {
    empty: '',
    init: '1\n',
    negative: '-1\n',
    zero: '0\n',
    huge: '99999999999999999999',
    word: 'pid\n',
    command: `${pid}\n`,
    nobody: '30000\n',
  };
  for (const [name, text] of Object.entries(cases)) writeFileSync(inHome(jail, name), text);
  execFileSync('mkfifo', [inHome(jail, 'fifo')]);
  // It has a good number to give.
  const fifo = openSync(inHome(jail, 'fifo'), 'r+');
  writeSync(fifo, `${pid}\n`);
  mkdirSync(inHome(jail, 'directory'));
  symlinkSync('loop', inHome(jail, 'loop'));
  const answers = await Promise.all(
    [...Object.keys(cases), 'fifo', 'directory', 'loop', 'missing', 'x'.repeat(5000)].map(
      async (name) => {
        const error = await adopt(jail, 80n, name).then(
          () => 'taken',
          (reason: Error) => /E[A-Z]+/.exec(reason.message)?.[0],
        );
        return [name.slice(0, 9), error];
      },
    ),
  );
  closeSync(fifo);
  expect(Object.fromEntries(answers)).toEqual({
    ...{ empty: 'EINVAL', init: 'EINVAL', negative: 'EINVAL', zero: 'EINVAL', huge: 'EINVAL' },
    ...{ word: 'EINVAL', command: 'ESRCH', nobody: 'ESRCH', fifo: 'EINVAL', directory: 'EINVAL' },
    ...{ loop: 'ELOOP', missing: 'ENOENT', xxxxxxxxx: 'EINVAL' },
  });
  expect(await jail.init.list()).toHaveLength(1);
});

test('init tells when a path inside was modified, as the tenant sees it', async () => {
  const jail = await vassal();
  writeFileSync(inHome(jail, 'flag'), '');
  utimesSync(inHome(jail, 'flag'), 1_700_000_000.5, 1_700_000_000.5);
  expect(await jail.init.look(`${innerHome(jail)}/flag`)).toBe(1_700_000_000_500_000_000n);
  expect(await jail.init.look(`${innerHome(jail)}/none`)).toBeNull();
  mkdirSync(inHome(jail, 'closed'), { mode: 0o700 });
  writeFileSync(inHome(jail, 'closed/flag'), '');
  expect(await jail.init.look(`${innerHome(jail)}/closed/flag`)).toBeNull();
});
