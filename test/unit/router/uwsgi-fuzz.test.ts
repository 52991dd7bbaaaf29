/** Streams of frames with bytes changed, through all that looks at what a uWSGI vassal sends. FUZZ_FRAMES for more. */
import { describe, expect, test } from 'vitest';
import { parseCidr } from '../../../src/firewall/prefix.ts';
import { reasonTotals, sharedCounters } from '../../../src/router/uwsgi-counters.ts';
import { DEVICE, DROPPED, UwsgiForwarding } from '../../../src/router/uwsgi-forwarding.ts';
import {
  FRAME_HEADER_BYTES,
  FrameReader,
  MAX_FRAME_BYTES,
  Remainder,
} from '../../../src/router/uwsgi-wire.ts';

const FRAMES = Number(process.env.FUZZ_FRAMES ?? 200_000);
const READ_BYTES = 32_768;
const TIMEOUT_MS = 30_000 + FRAMES / 10;

/** xorshift, for the same run every time. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const random = generator(20_260_923);

/** A frame with a packet of 10.99.0.x, or rules; now and then with any bytes changed, its header's too. */
function makeFrame(): Buffer {
  const isRules = random(20) === 0;
  const payload = isRules ? 24 * (1 + random(4)) : 20 + random(60);
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES + payload);
  bytes.writeUInt16LE(payload, 1);
  if (isRules) {
    bytes[3] = 1;
    for (let i = 4; i < bytes.length; i += 24) {
      bytes[i] = random(2);
      bytes[i + 17] = random(3);
    }
  } else {
    bytes[4] = 0x45;
    bytes.writeUInt16BE(payload, 6);
    bytes.writeUInt32BE(0x0a630000 + random(40), 16);
    bytes.writeUInt32BE(random(2) === 0 ? 0x0a630000 + random(40) : random(2 ** 32), 20);
  }
  for (let changes = random(4); changes > 0; changes -= 1) {
    bytes[random(bytes.length)] = random(256);
  }
  return bytes;
}

describe('what a uWSGI vassal sends', () => {
  test(
    'is never too much for the router, whatever it is',
    () => {
      const network = parseCidr({ text: '10.99.0.1/24', offset: 0 });
      if ('fault' in network) throw new Error(network.fault.message);
      const counters = sharedCounters();
      const setting = { network, owners: [], counters, onOwner: () => {} };
      const forwarding = new UwsgiForwarding(setting);
      const open = { rules: [], policy: 'allow' } as const;
      const denials = { in: new Float64Array(1), out: new Float64Array(1) };
      forwarding.setChains({ in: open, out: open }, denials);
      const reader = new FrameReader(Buffer.alloc(MAX_FRAME_BYTES + READ_BYTES));
      const remainders = Array.from({ length: 8 }, () => new Remainder());
      for (const slot of remainders.keys()) forwarding.open(slot, { uid: slot, pid: 1 });
      let found = 0;
      let made = 0;
      while (made < FRAMES) {
        const slot = random(remainders.length);
        const remainder = remainders[slot] as Remainder;
        const frames = Array.from({ length: 1 + random(30) }, makeFrame);
        made += frames.length;
        const whole = Buffer.concat(frames);
        // Its end may be missing: then the next frames stand within this one.
        const portion = whole.subarray(0, whole.length - random(5));
        portion.copy(reader.bytes, reader.begin(remainder));
        reader.arrived(portion.length);
        let kind = reader.next();
        for (; kind === 'packet' || kind === 'rules' || kind === 'prelude'; kind = reader.next()) {
          found += 1;
          expect(reader.start + reader.length).toBeLessThanOrEqual(reader.bytes.length);
          if (kind === 'rules') forwarding.takeRules(slot, reader.bytes, reader);
          if (kind !== 'packet') continue;
          const to = forwarding.fromClient(reader.bytes, reader.start, reader.length, slot);
          expect(to === DEVICE || to === DROPPED || (to >= 0 && to < 8 && to !== slot)).toBe(true);
        }
        if (kind === 'partial') {
          reader.hold(remainder);
          expect(remainder.length).toBeLessThan(MAX_FRAME_BYTES);
          continue;
        }
        forwarding.close(slot, kind);
        forwarding.open(slot, { uid: slot, pid: 1 });
        remainder.reset();
      }
      // It was no run in which nothing happened.
      const totals = reasonTotals(counters.reasons);
      expect(found).toBeGreaterThan(FRAMES / 3);
      for (const reason of [
        'malformed',
        'spoofed',
        'oversized-frame',
        'denied-by-own-rule',
      ] as const) {
        expect(totals[reason], reason).toBeGreaterThan(FRAMES / 10_000);
      }
    },
    TIMEOUT_MS,
  );
});
