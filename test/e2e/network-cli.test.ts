/** The network as operators and panels see it: status, net, firewall check, metrics, and totals that survive. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type {
  FirewallAnswer,
  NetworkStatus,
  VassalNetworkStatus,
} from '../../src/emperor/governor.ts';
import { TestEmperor, until } from '../support/emperor.ts';

/** Sends `count` datagrams of `bytes` to the discard port. */
const SENDER = `
import socket, sys, time
host, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
family = socket.AF_INET6 if ':' in host else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as s:
    for i in range(count):
        s.sendto(bytes(size), (host, 9))
        # A device keeps some hundred packets for the router.
        if i % 50 == 49: time.sleep(0.01)
`;

import { patienceMs } from '../support/slowness.ts';

const HEADERS = 28;

const vassal = (address: string, more = '') =>
  `[vassal]\ncommand = sleep 1000\ntuntap-device = tun0\naddress = 10.77.0.${address}\naddress6 = fd77::${address}\n${more}`;

const RULES = `tuntap-router-firewall-out = deny 10.77.0.0/24 192.0.2.0/24
tuntap-router-firewall-in = deny 10.77.0.3 10.77.0.2
tuntap-router-firewall-in = deny fd77::3 fd77::2`;
const IN_RULE = 'deny 10.77.0.3 10.77.0.2';

let emperor: TestEmperor;

beforeAll(async () => {
  emperor = new TestEmperor({ router: true, ini: RULES });
  await emperor.start();
  emperor.apply('a', vassal('2'));
  emperor.apply('b', vassal('3', 'tuntap-device-rule = out 0.0.0.0 10.77.0.1 deny\n'));
  emperor.apply('lonely', '[vassal]\ncommand = sleep 1000\n');
});
afterAll(() => emperor.close());

function send(from: string, to: string, { count = 5, bytes = 10 } = {}): void {
  const { status, stderr } = emperor.cli(
    ...['exec', from, '--', 'python3', '-c', SENDER, to, String(count), String(bytes)],
  );
  if (status !== 0) throw new Error(stderr);
}

const net = (): NetworkStatus => emperor.json<NetworkStatus & Record<string, unknown>>('net');
const netOf = (name: string) =>
  emperor.json<VassalNetworkStatus & Record<string, unknown>>('net', name);
const deniedBy = (rule: string) => net().rules.find((one) => one.rule === rule)?.denied ?? 0;

function traffic(name: string) {
  const { network } = emperor.status(name);
  if (!network) throw new Error(`${name} has no totals`);
  return network;
}

/** What was counted for a vassal while something was done. */
function counted(name: string, act: () => void) {
  const before = traffic(name);
  act();
  const after = traffic(name);
  const more = (key: 'rxBytes' | 'txBytes' | 'rxPackets' | 'txPackets' | 'denied') =>
    after[key] - before[key];
  return {
    rxBytes: more('rxBytes'),
    txBytes: more('txBytes'),
    rxPackets: more('rxPackets'),
    denied: more('denied'),
  };
}

async function metrics(): Promise<string> {
  return execFileSync('curl', ['-sS', '--unix-socket', emperor.socket, 'http://emperor/metrics'], {
    encoding: 'utf8',
  });
}

describe('what is counted', () => {
  test('U34, M84: totals of a vassal equal the bytes that it sent, and those that the other received', () => {
    const bytes = 1000 * (972 + HEADERS);
    let sent = { txBytes: 0 };
    const received = counted('b', () => {
      sent = counted('a', () => send('a', '10.77.0.3', { count: 1000, bytes: 972 }));
    });
    expect(sent.txBytes).toBeGreaterThanOrEqual(bytes);
    expect(sent.txBytes).toBeLessThan(bytes * 1.01);
    expect(received.rxBytes).toBe(sent.txBytes);
  });

  test('status and ls show addresses and totals; one without a device has none', () => {
    expect(emperor.status('a')).toMatchObject({ address: '10.77.0.2', address6: 'fd77::2' });
    expect(emperor.status('lonely')).toMatchObject({
      address: null,
      address6: null,
      network: null,
    });
    const listed = emperor.list().map(({ name, network }) => [name, network?.txBytes]);
    expect(listed).toEqual(
      ['a', 'b', 'lonely'].map((name) => [name, emperor.status(name).network?.txBytes]),
    );
    expect(emperor.cli('ls').stdout).toMatch(/^a +running .* 10\.77\.0\.2 +bookworm/m);
    expect(emperor.cli('status', 'a').stdout).toMatch(/sent +\d+\.\dM?K?, \d+ packets/);
  });

  test('net shows the router, the pools and the top talkers, and of one vassal what is its own', () => {
    const { router, pools, vassals, nat } = net();
    expect(router).toMatchObject({ device: 'emperor0', pid: emperor.routerPid });
    expect(pools).toMatchObject([{ network: '10.77.0.0/24', size: 253, used: 2 }, { used: 2 }]);
    expect(nat).toBe('off');
    expect(vassals.map(({ name }) => name).sort()).toEqual(['a', 'b']);
    const text = emperor.cli('net', '--top', '1', '--rates').stdout;
    expect(text).toMatch(/^NAME +STATE +ADDRESS +IN +OUT +RECEIVED +SENT/m);
    expect(text).toMatch(/^1 more: --top 2$/m);
    expect(netOf('b')).toMatchObject({
      device: 'tun0',
      isAttached: true,
      address: '10.77.0.3',
      gateway: '10.77.0.1',
      gateway6: 'fd77::1',
    });
    expect(netOf('lonely')).toMatchObject({ device: null, traffic: null });
    expect(emperor.cli('net', 'nobody').status).toBe(4);
  });

  test('the vassal that moves most stands first, by totals and by rates', async () => {
    emperor.apply('loud', vassal('9'));
    send('loud', '10.77.0.2', { count: 3000, bytes: 1400 });
    expect(net().vassals[0]?.name).toMatch(/^(loud|a)$/);
    expect(emperor.cli('net').stdout).toMatch(/^loud +running +10\.77\.0\.9/m);
    emperor.remove('loud');
    emperor.wait('loud', 'gone');
    const gone = net().vassals.find(({ name }) => name === 'loud');
    expect(gone).toMatchObject({ state: null, address: '10.77.0.9' });
  });

  test('purge forgets addresses and totals, so that a new customer of the name begins at 0', async () => {
    expect(emperor.cli('purge', 'loud', '--yes').status).toBe(0);
    await until('its totals are gone', () => !net().vassals.some(({ name }) => name === 'loud'));
    emperor.apply('loud', vassal('9'));
    expect(traffic('loud')).toMatchObject({ txBytes: 0, rxBytes: 0 });
    emperor.remove('loud');
    emperor.wait('loud', 'gone');
  });
});

describe('firewall check', () => {
  const check = (...words: readonly string[]) => {
    const { status, stdout, stderr } = emperor.cli('firewall', 'check', ...words);
    return `${status} ${stdout}${stderr}`.trim();
  };

  test('names the rule that decides; names of vassals are addresses of the other side’s family', () => {
    expect(check('b', 'a')).toBe(`1 deny  out: policy allow; in: ${IN_RULE}`);
    expect(check('fd77::3', 'a')).toBe('1 deny  out: policy allow; in: deny fd77::3 fd77::2');
    expect(check('in', 'b', '10.77.0.2')).toBe(`1 deny  in: ${IN_RULE}`);
    expect(check('out', 'b', 'a')).toBe('0 allow  out: policy allow');
    expect(check('a', '192.0.2.1')).toBe('1 deny  out: deny 10.77.0.0/24 192.0.2.0/24');
    expect(check('b', '10.77.0.1')).toBe('1 deny  out: deny 0.0.0.0 10.77.0.1 (own rule of b)');
    expect(check('8.8.8.8', 'a')).toBe('0 allow  in: policy allow');
  });

  test('what cannot be asked is told by its exit status', () => {
    expect(check('a')).toMatch(/^2 emperor: Cannot check that/);
    expect(check('a', 'nobody')).toMatch(/^4 .*neither an address nor the name of a vassal/);
    expect(check('a', '10.77.0.256')).toMatch(/^2 /);
    expect(check('10.77.0.2', '::1')).toMatch(/^2 .*different families/);
    expect(check('lonely', 'a')).toMatch(/^1 .*the vassal has no address/);
  });

  test('agrees with what becomes of packets', () => {
    const pairs = ['a', 'b'].flatMap((from) =>
      ['10.77.0.2', '10.77.0.3', 'fd77::2', 'fd77::3'].map((to) => [from, to] as const),
    );
    const others = pairs.filter(([from, to]) => !to.endsWith(from === 'a' ? '2' : '3'));
    for (const [from, to] of others) {
      const receiver = to.endsWith('2') ? 'a' : 'b';
      const { rxPackets } = counted(receiver, () => send(from, to));
      const verdict = emperor.json<FirewallAnswer & Record<string, unknown>>(
        'firewall',
        'check',
        from,
        to,
      );
      expect({ from, to, verdict: rxPackets >= 5 ? 'allow' : 'deny' }).toMatchObject({
        ...{ from, to, verdict: 'verdict' in verdict && verdict.verdict },
      });
    }
  });

  test('answers 100,000 lines in seconds, a bad one by `error:` and status 1', () => {
    const lines = Array.from({ length: 100_000 }, (_, i) => {
      const [third, last] = [Math.floor(i / 250) % 250, i % 250];
      return i % 2 === 0 ? `out 10.77.0.${last} 192.0.${third}.1` : `b 10.77.0.${last}`;
    });
    const ask = (input: string) => emperor.cliWith({ input }, 'firewall', 'check', '-');
    const began = performance.now();
    const { status, stdout } = ask(`${lines.join('\n')}\n`);
    expect(performance.now() - began).toBeLessThan(patienceMs(20_000));
    const answers = stdout.trimEnd().split('\n');
    expect(status).toBe(0);
    expect(answers).toHaveLength(100_000);
    for (const [i, answer] of answers.entries()) {
      const [third, last] = [Math.floor(i / 250) % 250, i % 250];
      const isDenied = i % 2 === 0 ? third === 2 : last === 1;
      // 10.77.0.2 has an even last byte, so no `b a` is among them.
      if (answer.startsWith('deny') !== isDenied) throw new Error(`${lines[i]}: ${answer}`);
    }
    const bad = ask(`a b\n\nout a b c\n${'x'.repeat(5000)}\nb a`);
    expect(bad.status).toBe(1);
    expect(bad.stdout.split('\n').map((line) => line.split(/[ :]/)[0])).toEqual([
      'allow',
      'error',
      'error',
      'error',
      'deny',
      '',
    ]);
  });
});

describe('what survives', () => {
  const names = ['a', 'b'] as const;
  const all = () => names.map((name) => traffic(name));

  test('ls answers while the router is being started anew, and U34: totals survive its SIGKILL', async () => {
    const before = all();
    const dead = emperor.routerPid;
    process.kill(dead, 'SIGKILL');
    // The very moment; what it says of totals is what was known last.
    expect(emperor.list().map(({ name }) => name)).toEqual(['a', 'b', 'lonely']);
    await until(
      'there is another',
      () => emperor.stats().router?.pid !== null && emperor.routerPid !== dead,
    );
    for (const [index, { txBytes, rxBytes }] of all().entries()) {
      expect(txBytes).toBeGreaterThanOrEqual(before[index]?.txBytes ?? Number.NaN);
      expect(rxBytes).toBeGreaterThanOrEqual(before[index]?.rxBytes ?? Number.NaN);
      expect(txBytes).toBeLessThan((before[index]?.txBytes ?? 0) + 10_000);
    }
    await until(
      'packets pass again',
      () => counted('b', () => send('a', '10.77.0.3')).rxPackets >= 5,
    );
  });

  test('a router that hangs keeps nobody waiting: what was known last is told', async () => {
    const before = traffic('a');
    expect(net().router.pid).toBe(emperor.routerPid);
    const frozen = emperor.routerPid;
    process.kill(frozen, 'SIGSTOP');
    try {
      const began = performance.now();
      expect(traffic('a')).toMatchObject({ txBytes: before.txBytes });
      expect(emperor.list()).toHaveLength(3);
      expect(net()).toMatchObject({ router: { pid: null } });
      expect(performance.now() - began).toBeLessThan(patienceMs(8000));
    } finally {
      process.kill(frozen, 'SIGCONT');
    }
    await until('it answers again', () => net().router.pid === frozen);
  });

  test('denials by rule survive a change of rules, and a SIGKILL once they are saved', async () => {
    const began = deniedBy(IN_RULE);
    send('b', '10.77.0.2', { count: 40 });
    const count = deniedBy(IN_RULE);
    expect(count - began).toBe(40);
    emperor.writeIni({
      router: true,
      ini: `${RULES}\ntuntap-router-firewall-in = deny 10.77.0.77 0.0.0.0`,
    });
    emperor.hup();
    await until('the new rule is in force', () =>
      net().rules.some(({ rule }) => rule === 'deny 10.77.0.77 0.0.0.0'),
    );
    expect(deniedBy(IN_RULE)).toBe(count);
    send('b', '10.77.0.2', { count: 2 });
    expect(deniedBy(IN_RULE)).toBe(count + 2);
    const file = join(emperor.directory, 'state/denials.json');
    const isSaved = () => readFileSync(file, 'utf8').includes(`"count":${count + 2}`);
    await until('it is saved', () => existsAnd(isSaved), 15_000);
    const dead = emperor.routerPid;
    process.kill(dead, 'SIGKILL');
    await until(
      'there is another',
      () => emperor.stats().router?.pid !== null && emperor.routerPid !== dead,
    );
    expect(deniedBy(IN_RULE)).toBe(count + 2);
    emperor.writeIni({ router: true, ini: '' });
    emperor.hup();
    await until('the rule is no more', () =>
      net().rules.some(({ rule, inForce }) => rule === IN_RULE && !inForce),
    );
    expect(deniedBy(IN_RULE)).toBe(count + 2);
  });

  test('M84: totals and denials are in /metrics, and survive the end of everything', async () => {
    const text = await metrics();
    const metric = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
    const totals = all();
    expect(metric('emperor_vassal_network_transmit_bytes_total\\{vassal="a"\\}')).toBe(
      totals[0]?.txBytes,
    );
    expect(metric('emperor_vassal_network_receive_packets_total\\{vassal="b"\\}')).toBe(
      totals[1]?.rxPackets,
    );
    expect(metric('emperor_router_up')).toBe(1);
    const denials = deniedBy(IN_RULE);
    expect(denials).toBeGreaterThan(0);
    expect(
      metric(`emperor_firewall_denied_packets_total\\{chain="in",rule="${IN_RULE}",vassal=""\\}`),
    ).toBe(denials);
    expect(emperor.cli('stats').stdout).toMatch(/^router +pid \d+/m);

    emperor.cli('shutdown', '--stop-vassals');
    await until('it ended', () => emperor.routerPid === 0);
    await emperor.start();
    for (const name of names) emperor.wait(name, 'running');
    expect(deniedBy(IN_RULE)).toBe(denials);
    for (const [index, { txBytes }] of all().entries()) {
      expect(txBytes).toBeGreaterThanOrEqual(totals[index]?.txBytes ?? Number.NaN);
    }
  });
});

test('doctor tries how packets would go, and leaves nothing', () => {
  const findings = emperor.cli('doctor').stdout;
  expect(findings).toMatch(/^(ok|warning) +router: (takes packets|handles packets)/m);
  const links = execFileSync('ip', ['-br', 'link'], { encoding: 'utf8' });
  expect(links).not.toContain('doctor0');
});

test('without a router there is no network to show', async () => {
  const other = new TestEmperor();
  try {
    await other.start();
    expect(other.cli('net')).toMatchObject({ status: 1, stdout: '' });
    expect(other.cli('firewall', 'check', '::1', '::2')).toMatchObject({ status: 1, stdout: '' });
    expect(other.stats().router).toBeNull();
  } finally {
    await other.close();
  }
});

function existsAnd(isSo: () => boolean): boolean {
  try {
    return isSo();
  } catch {
    return false;
  }
}
