import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  FRAME_HEADER_BYTES,
  FrameReader,
  MAX_FRAME_BYTES,
  MAX_PAYLOAD_BYTES,
  Remainder,
  writeFrameHeader,
} from '../../../src/router/uwsgi-wire.ts';

const PRELUDE = Buffer.from('uwsgi-tuntap');
const READ_BYTES = 32_768;

interface Read {
  readonly kinds: readonly string[];
  readonly payloads: readonly string[];
}

/** Reads `stream` in the given portions, as the loop does, by buffers whose sizes never change. */
function read(stream: Buffer, portions: readonly number[]): Read {
  const reader = new FrameReader(Buffer.alloc(MAX_FRAME_BYTES + READ_BYTES));
  const remainder = new Remainder();
  const kinds: string[] = [];
  const payloads: string[] = [];
  let at = 0;
  for (let turn = 0; at < stream.length; turn += 1) {
    const portion = stream.subarray(at, at + (portions[turn % portions.length] ?? READ_BYTES));
    at += portion.length;
    const start = reader.begin(remainder);
    expect(start).toBeLessThan(MAX_FRAME_BYTES);
    portion.copy(reader.bytes, start);
    reader.arrived(portion.length);
    let found = reader.next();
    for (; found === 'packet' || found === 'rules' || found === 'prelude'; found = reader.next()) {
      kinds.push(found);
      const { bytes, start: from, length } = reader;
      payloads.push(Buffer.from(bytes.subarray(from, from + length)).toString('base64'));
    }
    if (found !== 'partial') return { kinds: [...kinds, found], payloads };
    reader.hold(remainder);
  }
  return { kinds, payloads };
}

function frame(payload: Uint8Array, mod2 = 0, mod1 = 0): Buffer {
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  header[0] = mod1;
  header.writeUInt16LE(payload.length, 1);
  header[3] = mod2;
  return Buffer.concat([header, payload]);
}

const aPayload = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 60 }),
  fc
    .tuple(fc.integer({ min: 1, max: MAX_PAYLOAD_BYTES }), fc.nat(255))
    .map(([length, seed]) => Uint8Array.from({ length }, (_, i) => (i * 31 + seed) & 255)),
);
const aFrame = fc.record({ payload: aPayload, mod1: fc.nat(255), mod2: fc.nat(255) });
const portions = fc.array(fc.integer({ min: 1, max: READ_BYTES }), { minLength: 1 });
const smallPortions = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 });

describe('FrameReader', () => {
  test('finds the same frames however the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(aFrame, { maxLength: 12 }),
        fc.boolean(),
        fc.oneof(portions, smallPortions),
        (frames, hasPrelude, cuts) => {
          const stream = Buffer.concat([
            ...(hasPrelude ? [PRELUDE] : []),
            ...frames.map(({ payload, mod1, mod2 }) => frame(payload, mod2, mod1)),
          ]);
          const { kinds, payloads } = read(stream, cuts);
          expect(kinds).toEqual([
            ...(hasPrelude ? ['prelude'] : []),
            ...frames.map(({ mod2 }) => (mod2 === 1 ? 'rules' : 'packet')),
          ]);
          expect(payloads).toEqual([
            ...(hasPrelude ? [PRELUDE.toString('base64')] : []),
            ...frames.map(({ payload }) => Buffer.from(payload).toString('base64')),
          ]);
        },
      ),
      { numRuns: 200 },
    );
  });

  test('reads any bytes without throwing, and alike however they are cut', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000, size: 'max' }), portions, (bytes, cuts) => {
        const stream = Buffer.from(bytes);
        expect(read(stream, cuts)).toEqual(read(stream, [READ_BYTES]));
      }),
      { numRuns: 600 },
    );
  });

  test('takes the largest frame that uWSGI can take, and refuses a larger one by its header', () => {
    const largest = frame(Buffer.alloc(MAX_PAYLOAD_BYTES, 7));
    expect(read(largest, [1000]).kinds).toEqual(['packet']);
    const header = Buffer.from([0, 0xfd, 0x1f, 0]);
    expect(header.readUInt16LE(1)).toBe(MAX_PAYLOAD_BYTES + 1);
    expect(read(header, [4]).kinds).toEqual(['oversized-frame']);
    expect(read(Buffer.from([0, 0xff, 0xff, 1]), [1]).kinds).toEqual(['oversized-frame']);
  });

  test('refuses a frame of nothing, whatever its kind', () => {
    expect(read(frame(Buffer.alloc(0)), [4]).kinds).toEqual(['empty-frame']);
    expect(read(frame(Buffer.alloc(0), 1), [4]).kinds).toEqual(['empty-frame']);
  });

  test('knows the prelude only in front of everything', () => {
    const packet = frame(Buffer.alloc(20));
    expect(read(Buffer.concat([PRELUDE, packet]), [5]).kinds).toEqual(['prelude', 'packet']);
    expect(read(Buffer.concat([packet, PRELUDE]), [5]).kinds).toEqual([
      'packet',
      'oversized-frame',
    ]);
    const spoiled = Buffer.from('uwsgi-tuntaq');
    expect(read(spoiled, [12]).kinds).toEqual(['oversized-frame']);
  });

  test('a remainder that is used again has forgotten the connection before', () => {
    const remainder = new Remainder();
    const reader = new FrameReader(Buffer.alloc(MAX_FRAME_BYTES + READ_BYTES));
    reader.begin(remainder);
    reader.bytes.set([0, 30, 0, 0, 9]);
    reader.arrived(5);
    expect(reader.next()).toBe('partial');
    reader.hold(remainder);
    expect(remainder.length).toBe(5);
    remainder.reset();
    expect(reader.begin(remainder)).toBe(0);
  });
});

describe('writeFrameHeader()', () => {
  test('writes what the reader reads', () => {
    const bytes = Buffer.alloc(FRAME_HEADER_BYTES + 300, 0xff);
    writeFrameHeader(bytes, 0, 300);
    expect([...bytes.subarray(0, 4)]).toEqual([0, 44, 1, 0]);
    expect(read(bytes, [1]).kinds).toEqual(['packet']);
  });
});
