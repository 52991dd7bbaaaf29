/** An init that does not answer a START in time may still carry it out: then there would be two of what is started anew. */
import { beforeEach, expect, test } from 'vitest';
import { EmperorError } from '../../../src/base/errors.ts';
import { plainDaemon } from '../../../src/config/kinds/daemons.ts';
import type { InitClient, StartRequest } from '../../../src/jail/init-client.ts';
import { CommandProcess } from '../../../src/vassal/command-process.ts';
import { DaemonProcess } from '../../../src/vassal/daemon-process.ts';
import { InnerHooks } from '../../../src/vassal/inner-hooks.ts';
import { ManualClock, settled } from '../../support/manual-clock.ts';

const SIGKILL = 9;
const LINE = { argv: ['x'], env: [], cwd: '/' };

let clock: ManualClock;
/** What init was asked, in this order. */
let asked: string[];
let init: InitClient;

beforeEach(() => {
  clock = new ManualClock();
  asked = [];
  init = {
    start: async ({ slot }: StartRequest) => {
      asked.push(`start ${slot}`);
      throw new EmperorError('timeout', 'Cannot get an answer from the init');
    },
    signal: async (slot: bigint, signo: number) => void asked.push(`${signo} ${slot}`),
  } as unknown as InitClient;
});

const STARTS: readonly (readonly [string, () => Promise<unknown>])[] = [
  ['a command', () => new CommandProcess(clock).start(init, LINE).catch(() => {})],
  [
    'a hook',
    () =>
      new InnerHooks(clock, () => 0.5).run(['x'], {
        init,
        place: { env: [], cwd: '/' },
        timeoutMs: 1000,
      }),
  ],
  ['a daemon', async () => daemonOf().start()],
];

test.each(STARTS)(
  '%s that is given up is killed before another one is started',
  async (_, start) => {
    await start();
    await settled();
    const [first = ''] = asked;
    expect(first).toMatch(/^start \d+$/);
    expect(asked[1]).toBe(first.replace('start', String(SIGKILL)));
  },
);

function daemonOf(): DaemonProcess {
  return new DaemonProcess(
    {
      clock,
      backoff: () => ({ firstMs: 500, maxMs: 180_000 }),
      random: () => 0.5,
      init: () => init,
      lineOf: () => ({ ...LINE, pidFile: null, touch: [] }),
      mayStart: () => true,
      graceMs: () => 1000,
      onFailure: () => {},
      onTrouble: () => {},
    },
    { key: '00000001', daemon: plainDaemon(['x']), label: 'x' },
  );
}
