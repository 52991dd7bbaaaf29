/** Floods, receivers that do not read, and starts and stops by the hundred: nobody else pays, and nothing is left. */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ApiClient } from '../../src/api/client.ts';
import { TestEmperor } from '../support/emperor.ts';
import { NetworkWorld } from '../support/network-world.ts';
import { readIfThere } from '../support/remains.ts';
import { patienceMs } from '../support/slowness.ts';
import { makeTinyDistro } from '../support/tiny-distro.ts';
import { until } from '../support/wait.ts';

describe('a flood of 64-byte datagrams', () => {
  const DEVICE = 'tuntap-device = uwsgi0';
  const PINGS = 300;
  const NOWHERE = '10.77.0.250';
  const STOP = '/tmp/stop';
  /** Sends as fast as it can until it is stopped, and prints how many went. */
  const FLOOD = `
import os, socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.connect((sys.argv[1], 4444))
sent = 0
while not os.path.exists('${STOP}'):
    for _ in range(200):
        try:
            sender.send(bytes(36))
            sent += 1
        except OSError:
            pass
os.unlink('${STOP}')
print(sent)
`;

  let w: NetworkWorld;
  beforeAll(async () => {
    w = new NetworkWorld(() => ({ router: true }));
    await w.emperor.start();
    for (const name of ['mallory', 'anna', 'bert', 'carl']) await w.vassal(name, DEVICE);
  });
  afterAll(() => w.close());

  const targets: readonly (readonly [where: string, address: () => string])[] = [
    ['to the host', () => '10.77.0.1'],
    ['to another vassal', () => w.addressOf('carl')],
    ['to nowhere', () => NOWHERE],
    ['to a vassal that is frozen', () => w.addressOf('carl')],
  ];
  test.each(targets)('%s costs two others less than one ping of a hundred', async (where, to) => {
    const address = to();
    if (where.endsWith('frozen')) expect(w.emperor.cli('freeze', 'carl').status).toBe(0);
    const before = (await w.trafficOf('mallory')).txPackets;
    const { drops } = await w.trafficOf('mallory');
    const flood = w.tell('mallory', 'run', {
      argv: ['python3', '-c', FLOOD, address],
      timeout: 30,
    });
    await until('it floods', async () => {
      const { txPackets, drops: now } = await w.trafficOf('mallory');
      return txPackets - before + now['no-vassal'] - drops['no-vassal'] > 1000;
    });
    const pinged = w.inside('anna', 'ping', ...PING, w.addressOf('bert'));
    const [, received] = /(\d+) received/.exec(pinged) ?? [];
    expect(Number(received), pinged).toBeGreaterThan(PINGS * 0.99);
    w.emperor.cli('exec', 'mallory', '--', 'touch', STOP);
    const { status, output } = await flood;
    expect(status).toBe(0);
    expect(Number(output)).toBeGreaterThan(10_000);
    if (where.endsWith('frozen')) {
      expect(w.emperor.cli('thaw', 'carl').status).toBe(0);
      await w.ready('carl');
    }
  });
  const PING = ['-q', '-i0.01', `-c${PINGS}`, '-W1'];
});

describe('vassals that are started and stopped', () => {
  const AT_ONCE = 25;
  /** The whole thousand takes minutes: CHAOS_STARTS=1000. */
  const ROUNDS = Math.ceil(Number(process.env.CHAOS_STARTS ?? 100) / AT_ONCE);
  const names = Array.from({ length: AT_ONCE }, (_, i) => `v${i}`);

  let emperor: TestEmperor;
  beforeAll(async () => {
    emperor = new TestEmperor();
    const distros = join(emperor.directory, 'tiny-distros');
    makeTinyDistros(distros);
    emperor.writeIni({ router: true, distros, distro: 'tiny' });
    for (const name of names) {
      emperor.write(name, '[vassal]\ncommand = /bin/forever\ntuntap-device = uwsgi0\n');
    }
    await emperor.start();
  });
  afterAll(() => emperor.close());

  const api = () => new ApiClient(emperor.socket);
  const openOf = (pid: number | null) => readdirSync(`/proc/${pid}/fd`).length;
  const tunsOf = (pid: number | null) =>
    readdirSync(`/proc/${pid}/fdinfo`).filter((fd) =>
      /^iff:/m.test(readIfThere(`/proc/${pid}/fdinfo/${fd}`)),
    ).length;
  const held = () => {
    const launcher = emperor.stats().launcher.pid;
    return {
      router: openOf(emperor.routerPid),
      launcher: openOf(launcher),
      tuns: [tunsOf(emperor.routerPid), tunsOf(launcher)],
    };
  };

  async function startAndStopAll(): Promise<void> {
    await Promise.all(names.map((name) => api().act(name, 'start')));
    for (const name of names) emperor.wait(name, 'running');
    await Promise.all(names.map((name) => api().act(name, 'stop')));
    for (const name of names) emperor.wait(name, 'stopped');
    await until('only the host’s tun is left', () => tunsOf(emperor.routerPid) === 1);
  }

  test(
    `leave no descriptor and no tun: ${ROUNDS * AT_ONCE} of them`,
    async () => {
      // What is opened at a first use only.
      await startAndStopAll();
      const before = held();
      const emperors = openOf(emperor.pid);
      for (let round = 0; round < ROUNDS; round += 1) await startAndStopAll();
      await until('nothing is left', () => JSON.stringify(held()) === JSON.stringify(before)).catch(
        () => expect(held()).toEqual(before),
      );
      expect(openOf(emperor.pid)).toBeLessThanOrEqual(emperors + 3);
    },
    patienceMs(120_000 + ROUNDS * AT_ONCE * 1000),
  );
});

function makeTinyDistros(directory: string): void {
  mkdirSync(directory);
  makeTinyDistro(join(directory, 'tiny'));
}
