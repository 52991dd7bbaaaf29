import { beforeEach, describe, expect, test } from 'vitest';
import { parseAddress } from '../../../src/firewall/address.ts';
import type { Chain } from '../../../src/firewall/chain.ts';
import { parseCidr } from '../../../src/firewall/prefix.ts';
import { parseRule } from '../../../src/firewall/rule.ts';
import {
  clientStats,
  reasonTotals,
  sharedCounters,
  type UwsgiCounters,
} from '../../../src/router/uwsgi-counters.ts';
import {
  DEVICE,
  DROPPED,
  type UwsgiDenials,
  UwsgiForwarding,
} from '../../../src/router/uwsgi-forwarding.ts';

const A = '10.99.0.2';
const B = '10.99.0.3';
const HOST = '10.99.0.1';
const FAR = '192.0.2.7';

function packet(src: string, dst: string): Buffer {
  const bytes = Buffer.alloc(28);
  bytes[0] = 0x45;
  bytes.writeUInt16BE(bytes.length, 2);
  bytes.writeUInt32BE(wordOf(src), 12);
  bytes.writeUInt32BE(wordOf(dst), 16);
  return bytes;
}

function wordOf(text: string): number {
  return parseAddress(text)?.words[0] ?? 0;
}

function chain(...texts: readonly string[]): Chain {
  const rules = texts.map((text) => {
    const parsed = parseRule(text);
    if ('faults' in parsed) throw new Error(text);
    return parsed.rule;
  });
  return { rules, policy: 'allow' };
}

let counters: UwsgiCounters;
let owners: { address: number; uid: number }[];
let forwarding: UwsgiForwarding;
let denials: UwsgiDenials;

beforeEach(() => {
  const network = parseCidr({ text: '10.99.0.1/24', offset: 0 });
  if ('fault' in network) throw new Error(network.fault.message);
  counters = sharedCounters();
  owners = [];
  forwarding = new UwsgiForwarding({
    network,
    owners: [],
    counters,
    onOwner: (owner) => owners.push(owner),
  });
  setChains(chain(), chain());
  for (const slot of [0, 1, 2]) forwarding.open(slot, { uid: 1000 + slot, pid: 1 });
});

function setChains(inward: Chain, out: Chain): void {
  denials = { in: new Float64Array(9), out: new Float64Array(9) };
  forwarding.setChains({ in: inward, out }, denials);
}

const from = (slot: number, bytes: Uint8Array) =>
  forwarding.fromClient(bytes, 0, bytes.length, slot);
const fromDevice = (bytes: Uint8Array) => forwarding.fromDevice(bytes, 0, bytes.length);
const reasons = () =>
  Object.fromEntries(
    Object.entries(reasonTotals(counters.reasons)).filter(([, count]) => count > 0),
  );

describe('UwsgiForwarding', () => {
  test('a first packet claims its source, and what is for it comes back', () => {
    expect(fromDevice(packet(HOST, A))).toBe(DROPPED);
    expect(from(0, packet(A, FAR))).toBe(DEVICE);
    expect(from(0, packet(A, HOST))).toBe(DEVICE);
    expect(fromDevice(packet(FAR, A))).toBe(0);
    expect(owners).toEqual([{ address: wordOf(A), uid: 1000 }]);
    expect(clientStats(counters.clients)[0]).toMatchObject({ address: wordOf(A), uid: 1000 });
    expect(reasons()).toEqual({ 'no-client': 1 });
  });

  test('vassals reach each other through both chains, and nobody nobody has', () => {
    from(0, packet(A, FAR));
    from(1, packet(B, FAR));
    expect(from(0, packet(A, B))).toBe(1);
    expect(from(0, packet(A, '10.99.0.77'))).toBe(DROPPED);
    setChains(chain('allow 10.99.0.1 0.0.0.0', 'deny'), chain());
    expect(from(0, packet(A, B))).toBe(DROPPED);
    expect(fromDevice(packet(HOST, B))).toBe(1);
    expect([...denials.in].slice(0, 3)).toEqual([0, 0, 1]);
    setChains(chain(), chain(`deny ${A} ${B}`));
    expect(from(0, packet(A, B))).toBe(DROPPED);
    expect(from(1, packet(B, A))).toBe(0);
    expect([...denials.out].slice(0, 2)).toEqual([0, 1]);
    expect(reasons()).toEqual({ 'no-client': 1, 'denied-in': 1, 'denied-out': 1 });
  });

  test('a source that is not its own is dropped: before the claim, after it, and of somebody else', () => {
    expect(from(0, packet(FAR, HOST))).toBe(DROPPED);
    expect(from(0, packet('0.0.0.0', '255.255.255.255'))).toBe(DROPPED);
    expect(from(0, packet(HOST, FAR))).toBe(DROPPED);
    expect(from(0, packet(A, HOST))).toBe(DEVICE);
    expect(from(0, packet(B, HOST))).toBe(DROPPED);
    expect(from(0, packet('0.0.0.0', HOST))).toBe(DROPPED);
    expect(from(1, packet(A, HOST))).toBe(DROPPED);
    forwarding.close(0, 'ended');
    expect(from(1, packet(A, HOST))).toBe(DROPPED);
    expect(reasons()).toEqual({
      outside: 2,
      reserved: 1,
      spoofed: 2,
      taken: 1,
      locked: 1,
      ended: 1,
    });
    // Who was refused may still claim what is free.
    expect(from(1, packet(B, HOST))).toBe(DEVICE);
  });

  test('a user has its address again after its connection ended', () => {
    from(0, packet(A, HOST));
    forwarding.close(0, 'ended');
    expect(fromDevice(packet(HOST, A))).toBe(DROPPED);
    forwarding.open(0, { uid: 1000, pid: 2 });
    expect(from(0, packet(A, HOST))).toBe(DEVICE);
    expect(owners).toHaveLength(1);
  });

  test('IPv6 and what is no packet is dropped, and the next packet counts as the first', () => {
    const solicitation = Buffer.alloc(48);
    solicitation[0] = 0x60;
    solicitation.writeUInt16BE(8, 4);
    expect(from(0, solicitation)).toBe(DROPPED);
    expect(from(0, Buffer.alloc(1))).toBe(DROPPED);
    expect(from(0, Buffer.alloc(20, 0xff))).toBe(DROPPED);
    const tooLong = packet(A, HOST);
    tooLong.writeUInt16BE(2000, 2);
    expect(from(0, tooLong)).toBe(DROPPED);
    expect(fromDevice(solicitation)).toBe(DROPPED);
    expect(from(0, packet(A, HOST))).toBe(DEVICE);
    expect(from(0, packet(A, '224.0.0.1'))).toBe(DROPPED);
    expect(from(0, packet(A, '127.0.0.1'))).toBe(DROPPED);
    expect(from(0, packet(A, '0.0.0.0'))).toBe(DROPPED);
    expect(fromDevice(packet(HOST, '255.255.255.255'))).toBe(DROPPED);
    expect(reasons()).toEqual({ ipv6: 2, malformed: 3, 'not-unicast': 4 });
  });

  test('rules of its own take away from what the chains allow, and give nothing', () => {
    const rule = (direction: number, action: number) => {
      const bytes = Buffer.alloc(24);
      bytes[0] = direction;
      bytes[17] = action;
      return bytes;
    };
    const take = (bytes: Buffer) =>
      forwarding.takeRules(0, bytes, { start: 0, length: bytes.length });
    from(0, packet(A, HOST));
    expect(take(rule(1, 1))).toBe(true);
    expect(from(0, packet(A, HOST))).toBe(DROPPED);
    expect(fromDevice(packet(HOST, A))).toBe(0);
    expect(take(Buffer.concat([rule(0, 1), rule(1, 2)]))).toBe(true);
    expect(from(0, packet(A, HOST))).toBe(DROPPED);
    expect(fromDevice(packet(HOST, A))).toBe(DROPPED);
    expect(reasons()).toEqual({ 'denied-by-own-rule': 2, 'own-rule-route': 1 });
    setChains(chain('deny'), chain('deny'));
    expect(take(Buffer.concat([rule(0, 0), rule(1, 0)]))).toBe(true);
    expect(from(0, packet(A, HOST))).toBe(DROPPED);
    expect(fromDevice(packet(HOST, A))).toBe(DROPPED);
    expect(reasons()).toMatchObject({ 'denied-in': 1, 'denied-out': 1 });
    // The next connection of the slot has none of them.
    setChains(chain(), chain());
    take(rule(1, 1));
    forwarding.close(0, 'ended');
    forwarding.open(0, { uid: 1000, pid: 3 });
    expect(from(0, packet(A, HOST))).toBe(DEVICE);
  });

  test('nothing goes before there are chains', () => {
    const network = parseCidr({ text: '10.99.0.1/24', offset: 0 });
    if ('fault' in network) throw new Error(network.fault.message);
    const fresh = new UwsgiForwarding({
      network,
      owners: [],
      counters: sharedCounters(),
      onOwner: () => {},
    });
    fresh.open(0, { uid: 0, pid: 1 });
    expect(fresh.fromClient(packet(A, HOST), 0, 28, 0)).toBe(DROPPED);
  });
});
