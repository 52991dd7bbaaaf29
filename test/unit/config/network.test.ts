/** The network's keys together: what router and vassals are to be, and what does not go together. */
import { readFileSync } from 'node:fs';
import { resolve as resolvePath } from 'node:path';
import { describe, expect, test } from 'vitest';
import { costOf } from '../../../src/config/change-cost.ts';
import { routerChains } from '../../../src/config/router-chains.ts';
import { judge } from '../../../src/firewall/chain.ts';
import { address } from '../../support/addresses.ts';
import { brief, emperorOf, loadEmperor, resolve, vassalOf } from '../../support/configuration.ts';

const ROUTER = 'tuntap-router = emperor0 /run/tuntap.socket\n';
const NETWORKS = `${ROUTER}tuntap-router-address = 192.168.0.1/24
tuntap-router-address6 = fd00:1::1/64
`;

function errors(lines: string): readonly string[] {
  return loadEmperor(`[emperor]\nvassals = v\n${lines}`).diagnostics.map(
    ({ line, column, code, message }) => `${line}:${column} ${code}: ${message}`,
  );
}

describe('routerChains()', () => {
  test('has both chains of emperor.ini, with the policy', () => {
    const rule = (action: string) => ({ action, sides: null });
    const config = emperorOf(`${ROUTER}tuntap-router-firewall-in = deny
tuntap-router-firewall-out = allow
tuntap-router-firewall-out = deny
tuntap-router-firewall-policy = deny
`);
    expect(routerChains(config)).toEqual({
      in: { rules: [rule('deny')], policy: 'deny' },
      out: { rules: [rule('allow'), rule('deny')], policy: 'deny' },
    });
  });

  test("reads the seed's text as it is printed, with its eight rules (M61, M65)", () => {
    const seed = resolvePath(import.meta.dirname, '../../fixtures/config/emperor-seed.ini');
    const { config } = loadEmperor(readFileSync(seed, 'utf8'));
    if (!config) throw new Error('the seed is refused');
    expect(config).toMatchObject({
      router: { device: 'emperor0', socket: '/var/run/tuntap.socket' },
      routerAddress: null,
      nat: 'off',
    });
    expect(config.execAsRoot).toHaveLength(4);
    const chains = routerChains(config);
    const verdicts = (src: string, dst: string) =>
      (['out', 'in'] as const).map(
        (name) => judge(chains[name], { src: address(src), dst: address(dst) }).action,
      );
    expect(verdicts('192.168.0.2', '192.168.0.1')[0]).toBe('allow');
    expect(verdicts('192.168.0.1', '192.168.0.2')[1]).toBe('allow');
    expect(verdicts('192.168.0.2', '192.168.0.3')).toEqual(['deny', 'deny']);
    expect(verdicts('192.168.0.2', '8.8.8.8')[0]).toBe('allow');
    expect(verdicts('8.8.8.8', '192.168.0.2')[1]).toBe('allow');
    expect(verdicts('10.0.0.1', '8.8.8.8')).toEqual(['deny', 'deny']);
  });
});

describe('emperor.ini', () => {
  test('is warned of lines that mean nothing without a router', () => {
    expect(errors('tuntap-router-firewall-out = deny\nnat = auto\nexec-as-root = id\n')).toEqual([
      '3:1 has-no-effect: This line changes nothing: there is no `tuntap-router`',
      '4:1 has-no-effect: This line changes nothing: there is no `tuntap-router`',
      '5:1 has-no-effect: This line changes nothing: there is no `tuntap-router`',
    ]);
  });

  test('gives no device, socket or network to two routers', () => {
    const uwsgi = (text: string) => `tuntap-router-uwsgi = ${text}\n`;
    const first = uwsgi('a /a 10.0.0.1/24');
    expect(errors(NETWORKS + first + uwsgi('b /b 10.0.1.1/24'))).toEqual([]);
    expect(errors(NETWORKS + first + uwsgi('a /b 10.0.1.1/24'))).toEqual([
      '7:23 bad-value: Cannot use `tuntap-router-uwsgi`: the router device a has the device a, too',
    ]);
    expect(errors(NETWORKS + uwsgi('b /run/tuntap.socket 10.0.1.1/24'))).toEqual([
      '6:23 bad-value: Cannot use `tuntap-router-uwsgi`: `tuntap-router` has the socket /run/tuntap.socket, too',
    ]);
    expect(errors(NETWORKS + first + uwsgi('b /b 192.168.5.1/16'))).toEqual([
      '7:23 bad-value: Cannot use `tuntap-router-uwsgi`: `tuntap-router` has the network 192.168.0.0/24, which overlaps with 192.168.0.0/16',
    ]);
  });

  test('sends nothing out by the device that leads to the vassals', () => {
    expect(errors(`${ROUTER}nat = emperor0\n`)).toEqual([
      '4:7 bad-value: Cannot use `nat`: emperor0 is the device that leads to the vassals',
    ]);
    expect(errors(`${ROUTER}nat = auto\n`)).toEqual([]);
  });

  test('is warned where it denies IPv4 and lets IPv6 through', () => {
    const out = 'tuntap-router-firewall-out = ';
    const rules = `${out}allow\n${out}deny 10.0.0.0/8 0.0.0.0\n`;
    expect(errors(NETWORKS + rules)).toEqual([
      '7:30 open-family: Mind `tuntap-router-firewall-out`: it denies IPv4 packets only, and vassals have IPv6, too',
    ]);
    expect(errors(ROUTER + rules)).toEqual([]);
    expect(errors(`${NETWORKS}${rules}${out}deny fd00::/8 ::\n`)).toEqual([]);
    expect(errors(`${NETWORKS}${rules}${out}deny\n`)).toEqual([]);
    expect(errors(`${NETWORKS}${rules}tuntap-router-firewall-policy = deny\n`)).toEqual([]);
  });

  test('may deny nothing by nat', () => {
    expect(emperorOf(`${ROUTER}nat-deny = none\n`).natDeny).toEqual([]);
  });
});

describe('a vassal', () => {
  const judged = (lines: string, emperor: string) =>
    resolve(`[vassal]\n${lines}`, { emperor: emperorOf(emperor) });
  const said = (lines: string, emperor = NETWORKS) => {
    const { diagnostics, vassal } = judged(`tuntap-device = uwsgi0\n${lines}`, emperor);
    expect(vassal === undefined).toBe(diagnostics.some(({ severity }) => severity === 'error'));
    return diagnostics.map(({ line, column, code, message }) => [
      `${line}:${column} ${code}`,
      message,
    ]);
  };

  test.each([
    ['address = 192.168.0.2\n'],
    ['address = 192.168.0.254\naddress6 = fd00:1::ffff\n'],
    ['address6 = fd00:1:0:0:ffff:ffff:ffff:ffff\n'],
  ])('has the address that it asks for: %j', (lines) => {
    expect(said(lines)).toEqual([]);
  });

  test.each([
    ['address = 192.168.1.2', "192.168.1.2 is outside of the router's network, 192.168.0.1/24"],
    ['address = 192.168.0.1', "192.168.0.1 is the router's own address"],
    ['address = 192.168.0.0', '192.168.0.0 is the address of the network itself'],
    ['address = 192.168.0.255', '192.168.0.255 is the broadcast address'],
    ['address6 = fd00:2::2', "fd00:2::2 is outside of the router's network, fd00:1::1/64"],
    ['address6 = fd00:1::1', "fd00:1::1 is the router's own address"],
    ['address6 = fd00:1::', 'fd00:1:: is the address of the network itself'],
  ])('is refused `%s`', (line, state) => {
    const [key = ''] = line.split(' ');
    expect(said(`${line}\n`)).toEqual([
      [`3:${key.length + 4} bad-address`, `Cannot use \`${key}\`: ${state}`],
    ]);
  });

  test('has an address that hooks will give, where the router has none', () => {
    expect(said('address = 192.168.0.2\n', ROUTER)).toEqual([]);
  });

  test('has no IPv6 where the router has none', () => {
    expect(said('address6 = fd00::2\n', ROUTER)).toEqual([
      ['3:12 bad-address', 'Cannot use `address6`: emperor.ini has no `tuntap-router-address6`'],
    ]);
  });

  test('has no device where there is nothing to attach it to', () => {
    expect(said('', '')).toEqual([
      ['2:17 no-router', 'Cannot use `tuntap-device`: emperor.ini has no `tuntap-router`'],
    ]);
    expect(said('', `${ROUTER}emperor-use-clone = fs,pid\n`)).toEqual([
      ['2:17 no-router', "Cannot use `tuntap-device`: vassals are in the host's own network"],
    ]);
    const { diagnostics } = judged('tuntap-device = uwsgi0 /run/other.socket\n', ROUTER);
    expect(diagnostics.map(({ message }) => message)).toEqual([
      'Cannot use `tuntap-device`: the socket of `tuntap-router` is /run/tuntap.socket',
    ]);
  });

  test('is warned of lines that mean nothing without a device', () => {
    const { diagnostics, vassal } = judged(
      'address = 192.168.0.2\ntuntap-device-rule = in 0.0.0.0 0.0.0.0 deny\n',
      NETWORKS,
    );
    expect(vassal).toBeDefined();
    expect(brief(diagnostics)).toEqual(['2:1 has-no-effect', '3:1 has-no-effect']);
  });

  test('of a class is refused at the line of the class', () => {
    const { diagnostics } = judged(
      'tuntap-device = uwsgi0\nclass = far\n',
      `${NETWORKS}[class far]\naddress = 10.0.0.2\n`,
    );
    expect(diagnostics).toMatchObject([
      { file: '/etc/emperor/emperor.ini', line: 8, column: 11, code: 'bad-address' },
    ]);
  });

  test.each([
    ['tuntap-device-rule = in 0.0.0.0 0.0.0.0 deny\n', 'live'],
    ['address = 192.168.0.2\n', 'jail'],
  ])('is told what a change by %j costs', (line, cost) => {
    const emperor = emperorOf(NETWORKS);
    const before = vassalOf('tuntap-device = uwsgi0\n', { emperor });
    const after = vassalOf(`tuntap-device = uwsgi0\n${line}`, { emperor });
    expect(costOf(before, after).cost).toBe(cost);
  });
});
