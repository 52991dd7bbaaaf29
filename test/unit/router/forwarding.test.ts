import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Address, parseAddress } from '../../../src/firewall/address.ts';
import { deviceChains } from '../../../src/firewall/chain.ts';
import { parseDeviceRule, parseRule, type Rule } from '../../../src/firewall/rule.ts';
import { COLUMNS, type DropReason, trafficOf } from '../../../src/router/counters.ts';
import { DROPPED, Forwarding, HOST } from '../../../src/router/forwarding.ts';
import { countChains, gateOf } from '../../../src/router/gates.ts';
import { forgedDatagram } from '../../support/forged-packets.ts';
import { packetOf } from '../../support/packets.ts';

const A = 1;
const B = 2;

describe('forward()', () => {
  test('switches between vassals, and sends to the host what is nobody else’s', () => {
    const { go } = router();
    expect(go('192.168.0.2', '192.168.0.3', A)).toBe(B);
    expect(go('192.168.0.2', '192.168.0.1', A)).toBe(HOST);
    expect(go('192.168.0.2', '203.0.113.9', A)).toBe(HOST);
    expect(go('203.0.113.9', '192.168.0.3', HOST)).toBe(B);
    expect(go('fd00::2', 'fd00::3', A)).toBe(B);
    expect(go('fd00::2', 'fd00::1', A)).toBe(HOST);
    expect(go('fd00::2', '2001:db8::1', A)).toBe(HOST);
    expect(go('2001:db8::1', 'fd00::3', HOST)).toBe(B);
  });

  test.each<[string, string, number, number, DropReason]>([
    ['192.168.0.3', '192.168.0.1', A, A, 'spoofed'],
    ['0.0.0.0', '192.168.0.1', A, A, 'spoofed'],
    ['203.0.113.9', '192.168.0.1', A, A, 'spoofed'],
    ['fd00::3', 'fd00::1', A, A, 'spoofed'],
    ['fe80::2', 'fd00::1', A, A, 'spoofed'],
    ['192.168.0.2', '192.168.0.77', A, A, 'no-vassal'],
    ['192.168.0.2', '192.168.0.2', A, A, 'no-vassal'],
    ['192.168.0.2', '192.168.0.255', A, A, 'no-vassal'],
    ['fd00::2', 'fd00::77', A, A, 'no-vassal'],
    ['203.0.113.9', '192.168.0.77', HOST, HOST, 'no-vassal'],
    ['203.0.113.9', '203.0.113.8', HOST, HOST, 'no-vassal'],
    ['192.168.0.2', '224.0.0.1', A, A, 'not-unicast'],
    ['192.168.0.2', '255.255.255.255', A, A, 'not-unicast'],
    ['fd00::2', 'ff02::1', A, A, 'not-unicast'],
    ['fd00::2', 'fe80::1', A, A, 'not-unicast'],
    // The host's own loopback, which is behind its device where route_localnet is on.
    ['192.168.0.2', '127.0.0.1', A, A, 'not-unicast'],
    ['192.168.0.2', '127.255.255.254', A, A, 'not-unicast'],
    ['192.168.0.2', '0.0.0.0', A, A, 'not-unicast'],
    ['192.168.0.2', '0.1.2.3', A, A, 'not-unicast'],
    ['fd00::2', '::', A, A, 'not-unicast'],
    ['fd00::2', '::1', A, A, 'not-unicast'],
    // Addresses of IPv4 that IPv6 can say; the second would be found where a vassal's own is kept.
    ['fd00::2', '::ffff:127.0.0.1', A, A, 'not-unicast'],
    ['fd00::2', '::192.168.0.3', A, A, 'not-unicast'],
    ['2001:db8::1', '::192.168.0.3', HOST, HOST, 'not-unicast'],
  ])('drops what goes from %s to %s', (src, dst, from, counted, reason) => {
    const { go, dropsOf } = router();
    expect(go(src, dst, from)).toBe(DROPPED);
    expect(dropsOf(counted)).toEqual({ [reason]: 1 });
  });

  test.each([
    ['loose', [131, 7, 4, 192, 168, 0, 3, 0]],
    ['strict', [137, 7, 4, 192, 168, 0, 3, 0]],
    ['behind others', [1, 1, 7, 7, 4, 0, 0, 0, 0, 131, 3, 4]],
    ['without a length', [1, 1, 1, 68]],
    ['of no length', [68, 0, 0, 0]],
    ['of a length that counts nothing', [68, 1, 131, 3]],
  ])('drops what names its way, or may: an option that is %s', (_, options) => {
    const { forwarding, dropsOf } = router();
    const packet = withOptions(options);
    expect(forwarding.forward(packet, 0, packet.length, A)).toBe(DROPPED);
    expect(dropsOf(A)).toEqual({ 'source-route': 1 });
  });

  test('takes other options, and what stands behind their end', () => {
    const { forwarding } = router();
    for (const options of [
      [1, 1, 1, 1],
      [7, 7, 4, 0, 0, 0, 0, 0],
      [0, 131, 3, 4],
    ]) {
      const packet = withOptions(options);
      expect(forwarding.forward(packet, 0, packet.length, A)).toBe(HOST);
    }
  });

  test('lets a packet pass both chains, and counts it where it was denied', () => {
    const { go, dropsOf, gate } = router();
    gate(A, { out: ['deny 192.168.0.2 192.168.0.1'] });
    expect(go('192.168.0.2', '192.168.0.1', A)).toBe(DROPPED);
    expect(dropsOf(A)).toEqual({ 'denied-out': 1 });
    expect(go('192.168.0.2', '192.168.0.3', A)).toBe(B);
    gate(B, { in: ['allow 192.168.0.1 192.168.0.3', 'deny'] });
    expect(go('192.168.0.2', '192.168.0.3', A)).toBe(DROPPED);
    expect(dropsOf(B)).toEqual({ 'denied-in': 1 });
    expect(go('192.168.0.1', '192.168.0.3', HOST)).toBe(B);
    expect(go('fd00::2', 'fd00::3', A)).toBe(DROPPED);
  });

  test('counts which rule denied', () => {
    const { go, gate } = router();
    const counted = gate(A, { out: ['allow 192.168.0.2 192.168.0.3', 'deny 0.0.0.0 192.168.0.1'] });
    go('192.168.0.2', '192.168.0.3', A);
    go('192.168.0.2', '192.168.0.1', A);
    go('192.168.0.2', '192.168.0.1', A);
    expect([...counted.out.denials]).toEqual([0, 0, 2]);
  });

  test('has a vassal’s own rules only take away', () => {
    const { go, gate } = router();
    gate(A, { out: ['deny 0.0.0.0 192.168.0.1'] }, ['out 0.0.0.0 192.168.0.1 allow']);
    expect(go('192.168.0.2', '192.168.0.1', A)).toBe(DROPPED);
    gate(A, {}, ['out 0.0.0.0 203.0.113.0/24 deny']);
    expect(go('192.168.0.2', '192.168.0.1', A)).toBe(HOST);
    expect(go('192.168.0.2', '203.0.113.9', A)).toBe(DROPPED);
  });

  test('gives every fragment of a packet the verdict of the whole', () => {
    const { forwarding } = router();
    const whole = packetOf({ src: '192.168.0.2', dst: '192.168.0.3' });
    for (const fragment of [0x2000, 0x2001, 0x0005, 0x3fff]) {
      const cut = Buffer.from(whole);
      cut.writeUInt16BE(fragment, 6);
      expect(forwarding.forward(cut, 0, cut.length, A)).toBe(B);
    }
  });

  test('forgets who was detached, and keeps the others', () => {
    const { forwarding, go } = router();
    forwarding.detach(B);
    expect(go('192.168.0.2', '192.168.0.3', A)).toBe(DROPPED);
    expect(go('203.0.113.9', '192.168.0.2', HOST)).toBe(A);
  });

  test('finds each of thousands of vassals', () => {
    const { forwarding, go } = router();
    const name = (i: number) => `10.${i >>> 8}.${i & 255}.1`;
    for (let i = 0; i < 5000; i += 1) attach(forwarding, 10 + i, name(i), null);
    for (let i = 0; i < 5000; i += 7) {
      expect(go('203.0.113.9', name(i), HOST)).toBe(10 + i);
    }
  });

  test('drops what is no whole packet, whatever its bytes', () => {
    const { forwarding, dropsOf } = router();
    const whole = packetOf({ src: '192.168.0.2', dst: '192.168.0.3' });
    const wrong = [
      whole.subarray(0, 27),
      Buffer.concat([whole, Buffer.alloc(1)]),
      whole.subarray(0, 10),
      Buffer.alloc(0),
      changed(whole, 0, 0x44),
      changed(whole, 0, 0x4f),
      changed(whole, 0, 0x55),
      changed(packetOf({ src: 'fd00::2', dst: 'fd00::3' }), 5, 9),
    ];
    for (const bytes of wrong) expect(forwarding.forward(bytes, 0, bytes.length, A)).toBe(DROPPED);
    expect(dropsOf(A)).toEqual({ malformed: wrong.length });
  });

  test('is total over 200,000 random and mutated packets, and lets none but the own source pass', () => {
    const { forwarding } = router();
    const seeds = [
      packetOf({ src: '192.168.0.2', dst: '192.168.0.3', payload: Buffer.alloc(64) }),
      packetOf({ src: 'fd00::2', dst: 'fd00::3', payload: Buffer.alloc(64) }),
    ];
    const random = fc.sample(fc.uint8Array({ minLength: 0, maxLength: 80 }), 2000);
    const scratch = Buffer.alloc(12 + 70_000);
    let state = 1;
    const next = (below: number) => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return (state >>> 8) % below;
    };
    const wrong: string[] = [];
    for (let i = 0; i < 200_000; i += 1) {
      const from = i % 3;
      const source = i % 4 === 0 ? (random[next(2000)] ?? []) : (seeds[i % 2] as Buffer);
      scratch.set(source, 12);
      let length = source.length;
      for (let j = next(3); j > 0; j -= 1) scratch[12 + next(60)] = next(256);
      if (next(8) === 0) length = next(100);
      const to = forwarding.forward(scratch, 12, length, from);
      if (to < DROPPED || to > B || to === from) wrong.push(`${from} to ${to}`);
      if (to === DROPPED || from === HOST) continue;
      const isFour = (scratch[12] ?? 0) >> 4 === 4;
      const own = isFour ? scratch.readUInt32BE(24) : scratch.readUInt32BE(20 + 12);
      if (own !== (isFour ? 0xc0a80000 + from + 1 : from + 1)) wrong.push(`${from} as ${own}`);
    }
    expect(wrong).toEqual([]);
  });
});

function changed(bytes: Buffer, at: number, value: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = value;
  return copy;
}

/** Two vassals, 192.168.0.2 and .3, in a network whose host is .1; the same in fd00::/64. */
function router() {
  const counters = new Float64Array(COLUMNS * 8192);
  const forwarding = new Forwarding(counters);
  forwarding.setNetworks({
    network4: { prefix: { ...address('192.168.0.0'), length: 24 }, host: address('192.168.0.1') },
    network6: { prefix: { ...address('fd00::'), length: 64 }, host: address('fd00::1') },
  });
  const host = { address4: null, address6: null, row: HOST, gate: null };
  forwarding.attach(HOST, host);
  const own = [null, ['192.168.0.2', 'fd00::2'], ['192.168.0.3', 'fd00::3']] as const;
  for (const slot of [A, B]) attach(forwarding, slot, own[slot]?.[0] ?? '', own[slot]?.[1] ?? null);
  return {
    forwarding,
    go(src: string, dst: string, from: number) {
      const packet = packetOf({ src, dst });
      return forwarding.forward(packet, 0, packet.length, from);
    },
    /** Sets the chains of a vassal, and returns them with their counters. */
    gate(slot: number, chains: { in?: string[]; out?: string[] }, device: string[] = []) {
      const counted = countChains({
        in: { rules: (chains.in ?? []).map(rule), policy: 'allow' },
        out: { rules: (chains.out ?? []).map(rule), policy: 'allow' },
      });
      const rules = device.map((text) => {
        const parsed = parseDeviceRule(text);
        if ('faults' in parsed) throw new Error(text);
        return parsed.rule;
      });
      const addresses = {
        address4: address(own[slot]?.[0] ?? ''),
        address6: address(own[slot]?.[1] ?? ''),
      };
      forwarding.setGate(slot, gateOf(addresses, [counted, countChains(deviceChains(rules))]));
      return counted;
    },
    dropsOf(slot: number) {
      const { drops } = trafficOf(counters, slot * COLUMNS);
      return Object.fromEntries(Object.entries(drops).filter(([, count]) => count > 0));
    },
  };
}

function attach(forwarding: Forwarding, slot: number, four: string, six: string | null): void {
  forwarding.attach(slot, {
    address4: address(four),
    address6: six === null ? null : address(six),
    row: slot,
    gate: null,
  });
}

function rule(text: string): Rule {
  const parsed = parseRule(text);
  if ('faults' in parsed) throw new Error(text);
  return parsed.rule;
}

function address(text: string): Address {
  const parsed = parseAddress(text);
  if (!parsed) throw new Error(`no address: ${text}`);
  return parsed;
}

/** From vassal A to the host. */
function withOptions(options: readonly number[]): Buffer {
  return forgedDatagram({
    src: '192.168.0.2',
    dst: '192.168.0.1',
    text: 'x',
    options: Uint8Array.from(options),
  });
}
