/** Unmodified uWSGI vassals beside ours: `tuntap-router-uwsgi` under a whole emperor. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { NetworkStatus } from '../../src/emperor/governor.ts';
import { TestEmperor } from '../support/emperor.ts';
import { inNamespace, ping, UwsgiWorld } from '../support/uwsgi-world.ts';
import { until } from '../support/wait.ts';

const OURS = `[vassal]
command = python3 -m http.server 8000
tuntap-device = tun0
address = 10.77.0.7
`;
const THEIRS = '10.99.0.2';
const GATEWAY = '10.99.0.1';

describe('a uWSGI vassal beside ours', () => {
  let emperor: TestEmperor;
  let world: UwsgiWorld;
  let netns: string;

  const configure = (...rules: readonly string[]) =>
    emperor.writeIni({
      router: true,
      ini: [
        'nat = auto',
        `tuntap-router-uwsgi = uwsgiemp ${join(emperor.directory, 'uwsgi.sock')} ${GATEWAY}/24`,
        ...rules.map((rule) => `tuntap-router-firewall-${rule}`),
      ].join('\n'),
    });
  const fetchOurs = () =>
    inNamespace(
      netns,
      'curl',
      '-s',
      '-m',
      '1',
      '-o',
      '/dev/null',
      '-w',
      '%{http_code}',
      'http://10.77.0.7:8000/',
    ).catch(() => 'none');

  beforeAll(async () => {
    emperor = new TestEmperor();
    configure('in = deny 10.99.0.0/24 10.77.0.0/24');
    await emperor.start();
    emperor.apply('ours', OURS);
    world = new UwsgiWorld(join(emperor.directory, 'uwsgi.sock'));
    netns = world.startVassal(THEIRS).netns;
    await until('it has its device', async () => (await ping(netns, GATEWAY)) === 1);
  });
  afterAll(async () => {
    await world.close();
    await emperor.close();
  });

  test('pings the gateway, and reaches ours only when a rule allows it', async () => {
    expect(await ping(netns, GATEWAY, { count: 3 })).toBe(3);
    expect(await fetchOurs()).toBe('none');
    configure();
    await until('the rule is gone', async () => (await fetchOurs()) === '200');
  });

  test('is denied by the chain `out` as ours are', async () => {
    configure('out = deny 10.99.0.0/24 10.77.0.0/24');
    await until('the rule is there', async () => (await fetchOurs()) === 'none');
    expect(await ping(netns, GATEWAY)).toBe(1);
    const deniedBy = (rule: string) =>
      emperor
        .json<NetworkStatus & Record<string, unknown>>('net')
        .rules.find((one) => one.rule === rule)?.denied ?? 0;
    const denied = deniedBy('deny 10.99.0.0/24 10.77.0.0/24');
    expect(denied).toBeGreaterThan(0);
    configure();
    await until('the rule is gone', async () => (await fetchOurs()) === '200');
    expect(deniedBy('deny 10.99.0.0/24 10.77.0.0/24')).toBeGreaterThanOrEqual(denied);
  });

  /** uWSGI ends when its router does, and when it finds none; its own emperor would start it again. */
  async function anotherVassal(address: string): Promise<string> {
    await until('it listens', () =>
      world.connect().then(
        (client) => client.destroy() === undefined,
        () => false,
      ),
    );
    const vassal = world.startVassal(address);
    await vassal.isConnected();
    return vassal.netns;
  }

  test('is served by a router that was started anew, and by one that a later emperor found', async () => {
    const before = emperor.routerPid;
    process.kill(before, 'SIGKILL');
    await until('there is another', () => emperor.routerPid !== 0 && emperor.routerPid !== before);
    const next = await anotherVassal('10.99.0.3');
    await emperor.signal('SIGKILL');
    expect(await ping(next, GATEWAY)).toBe(1);
    await emperor.start();
    expect(await ping(next, GATEWAY)).toBe(1);
  });

  test('is served again by a device that is made anew where somebody removed it', async () => {
    const before = emperor.routerPid;
    await inNamespace(emperor.netns, 'ip', 'link', 'del', 'uwsgiemp');
    await until('there is another', () => emperor.routerPid !== 0 && emperor.routerPid !== before);
    const next = await anotherVassal('10.99.0.4');
    expect(await ping(next, GATEWAY)).toBe(1);
  });
});
