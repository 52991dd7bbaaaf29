/** Who has which address: stable by name whatever ends and starts, never two owners, and clear words where there is none. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { askNow } from '../support/api-now.ts';
import { NetworkWorld } from '../support/network-world.ts';
import { isAlive } from '../support/proc.ts';
import { until } from '../support/wait.ts';

const net = new NetworkWorld(({ directory }) => ({
  ini: [
    `tuntap-router = emperor0 ${join(directory, 'tuntap.socket')}`,
    'tuntap-router-address = 10.77.0.1/29',
    'tuntap-router-address6 = fd77::1/64',
    'vassal-set = tuntap-device=uwsgi0',
    'dns = 192.0.2.53 2001:db8::53',
  ].join('\n'),
}));
const { emperor } = net;
/** It has a network and runs nothing, so it is quick. */
const IDLE = '[vassal]\n';
const BLOG = `${IDLE}command = sleep 1000\n`;

beforeAll(async () => {
  await emperor.start();
  emperor.apply('blog', BLOG);
  emperor.apply('shop', IDLE);
});
afterAll(() => net.close());

const addressesOf = (name: string) => [net.addressOf(name), net.addressOf(name, 6)];
const error = (name: string) => emperor.status(name).lastError ?? '';
async function refusalOf(name: string, text: string): Promise<string> {
  emperor.write(name, text);
  await until(
    `${name} is refused`,
    () => emperor.list().some((each) => each.name === name) && error(name) !== '',
  );
  expect(emperor.status(name)).toMatchObject({ pid: null, lastExit: null });
  return error(name);
}
/** True if an answer comes in time. */
const pingFrom = (place: string) => async (address: string, seconds: string) =>
  (await net.run(place, 'ping', '-c', '1', '-W', seconds, address)).status === 0;
function remove(name: string): void {
  emperor.remove(name);
  emperor.wait(name, 'gone');
}
function purge(name: string): void {
  askNow(emperor.socket, 'purge', name);
}

describe('U6: an address is stable', () => {
  let given: readonly (readonly string[])[];
  const look = () => ['blog', 'shop'].map(addressesOf);
  beforeAll(() => {
    given = look();
  });

  test('over the names, which all have their own', () => {
    expect(new Set(given.flat()).size).toBe(4);
    expect(given.flat().sort()).toEqual(['10.77.0.2', '10.77.0.3', 'fd77::2', 'fd77::3']);
  });

  test('over a change that needs a new jail, a restart, and the death of its init', async () => {
    emperor.apply('blog', `${BLOG}hostname = renamed\n`);
    expect(look()).toEqual(given);
    const before = emperor.status('blog').pid ?? 0;
    askNow(emperor.socket, 'act', 'blog', 'restart');
    await until('it is another', () => ![before, null].includes(emperor.status('blog').pid));
    emperor.wait('blog', 'running');
    expect(look()).toEqual(given);
    const second = emperor.status('blog').pid as number;
    process.kill(second, 'SIGKILL');
    await until('it runs again', () => {
      const { pid, state } = emperor.status('blog');
      return state === 'running' && pid !== second;
    });
    expect(look()).toEqual(given);
  });

  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    test(`over ${signal} to the emperor, while which a vassal went`, async () => {
      const init = emperor.status('shop').pid as number;
      await emperor.signal(signal);
      process.kill(init, 'SIGKILL');
      await until('it ends', () => !isAlive(init));
      await emperor.start();
      emperor.wait('shop', 'running');
      expect(look()).toEqual(given);
    });
  }

  for (const lost of ['all that was written down', 'the router as well'] as const) {
    test(`over the loss of ${lost}, and neither a process nor its own rules are lost`, async () => {
      const ping = pingFrom('blog');
      await net.vassal('blog', 'tuntap-device-rule = out 0.0.0.0 10.77.0.3 deny');
      const before = emperor.status('blog').pid;
      await emperor.signal('SIGTERM');
      for (const file of ['vassals.jsonl', 'addresses.jsonl']) {
        rmSync(join(emperor.directory, 'state', file));
      }
      if (lost === 'the router as well') process.kill(routerPid(), 'SIGKILL');
      await emperor.start();
      emperor.wait('blog', 'applied');
      expect(look()).toEqual(given);
      expect(await ping('10.77.0.1', '2')).toBe(true);
      expect(await ping('10.77.0.3', '0.3')).toBe(false);
      expect(await net.get('host', '10.77.0.2')).toContain('blog sees');
      await net.vassal('blog');
      expect(await ping('10.77.0.3', '2')).toBe(true);
      expect(emperor.status('blog').pid).toBe(before);
    });
  }
  /** Never 0, which would mean ourselves. */
  function routerPid(): number {
    expect(emperor.routerPid).toBeGreaterThan(1);
    return emperor.routerPid;
  }

  test('over a reboot, whatever starts first then', async () => {
    emperor.write('aaa', IDLE);
    await emperor.reboot();
    for (const name of ['aaa', 'blog', 'shop']) emperor.wait(name, 'running');
    expect(look()).toEqual(given);
    expect(addressesOf('aaa')).toEqual(['10.77.0.4', 'fd77::4']);
    remove('aaa');
    purge('aaa');
  });

  test('over the removal of its file: nobody else gets it before a purge', () => {
    remove('shop');
    emperor.apply('late', IDLE);
    expect(given.flat()).not.toContain(net.addressOf('late'));
    emperor.apply('shop', IDLE);
    expect(look()).toEqual(given);
    remove('late');
    purge('late');
  });
});

describe('what a vassal is told', () => {
  const told = (name: string, file: string) =>
    readFileSync(`/proc/${emperor.status(name).pid}/root/etc/${file}`, 'utf8');

  test('is its addresses by its name, however long that is, and the name servers of emperor.ini', () => {
    const name = `customer-${'x'.repeat(40)}`;
    emperor.apply(name, IDLE);
    const [address, address6] = addressesOf(name);
    expect(told(name, 'hosts')).toContain(`${address} ${name}\n${address6} ${name}\n`);
    expect(told(name, 'resolv.conf')).toBe('nameserver 192.0.2.53\nnameserver 2001:db8::53\n');
    remove(name);
    purge(name);
  });

  test('is another address once its file gives one; the one before answers no more', async () => {
    emperor.apply('moves', `${IDLE}address = 10.77.0.5\n`);
    const ping = pingFrom('host');
    expect(await ping('10.77.0.5', '2')).toBe(true);
    emperor.apply('moves', `${IDLE}address = 10.77.0.6\n`);
    expect(await ping('10.77.0.6', '2')).toBe(true);
    expect(await ping('10.77.0.5', '0.3')).toBe(false);
    expect(told('moves', 'hosts')).toContain('10.77.0.6 moves\n');
    remove('moves');
    purge('moves');
  });
});

describe('one address', () => {
  test('has one owner: a second file that gives it is refused, by the names of both', async () => {
    emperor.apply('first', `${IDLE}address = 10.77.0.6\n`);
    expect(net.addressOf('first')).toBe('10.77.0.6');
    expect(await refusalOf('second', `${IDLE}address = 10.77.0.6\n`)).toMatch(
      /second 10\.77\.0\.6.*first/,
    );
    const sixth = `${IDLE}address6 = fd77::2\n`;
    remove('second');
    expect(await refusalOf('second', sixth)).toMatch(/second fd77::2.*blog/);
    remove('second');
    remove('first');
    purge('first');
    purge('second');
  });
});

describe('a pool that is used up', () => {
  test('is said, with the number, the option and the remedy; after a purge there is one again', async () => {
    const names = ['c', 'd', 'e'];
    for (const name of names) emperor.apply(name, IDLE);
    const message = await refusalOf('f', IDLE);
    expect(message).toMatch(
      /f an address: all 5 of tuntap-router-address = 10\.77\.0\.1\/29 are taken/,
    );
    expect(message).toMatch(/purge/);
    const freed = net.addressOf('c');
    remove('c');
    purge('c');
    emperor.apply('f', `${IDLE}hostname = again\n`);
    expect(net.addressOf('f')).toBe(freed);
  });
});
