import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  encodeFields,
  encodeFrame,
  type Field,
  Fields,
  type Frame,
  FrameError,
  FrameReader,
} from '../../../src/jail/frames.ts';
import { MAX_FRAME, TAG, VERB } from '../../../src/jail/wire.ts';

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const text = fc.string({ unit: 'grapheme' }).filter((one) => !one.includes('\0'));

/** One field of each shape, so that each has one way of being read back. */
const content = fc.record({
  id: fc.nat({ max: 2 ** 32 - 1 }),
  verb: fc.nat({ max: 2 ** 16 - 1 }),
  slot: u64,
  name: text,
  bytes: fc.uint8Array({ maxLength: 2000 }),
  args: fc.array(text, { maxLength: 5 }),
  entries: fc.array(fc.record({ pid: fc.nat(), label: text }), { maxLength: 4 }),
});
type Content = Parameters<Parameters<typeof content.map>[0]>[0];

function frameOf(one: Content): Buffer {
  const fields: readonly Field[] = [
    [TAG.SLOT, one.slot],
    [TAG.NAME, one.name],
    [TAG.BYTES, one.bytes],
    ...one.args.map((arg): Field => [TAG.ARG, arg]),
    ...one.entries.map(
      (entry): Field => [
        TAG.ENTRY,
        [
          [TAG.PID, entry.pid],
          [TAG.LABEL, entry.label],
        ],
      ],
    ),
  ];
  return encodeFrame({ verb: one.verb, id: one.id, fields });
}

function contentOf({ verb, id, fields }: Frame): Content {
  return {
    id,
    verb,
    slot: fields.bigint(TAG.SLOT),
    name: fields.text(TAG.NAME),
    bytes: Uint8Array.from(fields.bytes(TAG.BYTES)),
    args: [...fields.texts(TAG.ARG)],
    entries: fields.entries(TAG.ENTRY).map((entry) => ({
      pid: entry.number(TAG.PID),
      label: entry.text(TAG.LABEL),
    })),
  };
}

function split(bytes: Buffer, cuts: readonly number[]): readonly Buffer[] {
  const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b)];
  return at.map((start, index) => bytes.subarray(start, at[index + 1] ?? bytes.length));
}

function framesOf(chunks: readonly Uint8Array[]): readonly Frame[] {
  const reader = new FrameReader();
  return chunks.flatMap((chunk) => reader.push(chunk));
}

/** A frame head that announces `length` bytes. */
function headOf(length: number): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt32LE(length);
  return head;
}

describe('encodeFrame() and FrameReader', () => {
  test('give back any frames, however the bytes are split', () => {
    fc.assert(
      fc.property(fc.array(content, { maxLength: 4 }), fc.array(fc.nat()), (contents, cuts) => {
        const bytes = Buffer.concat(contents.map(frameOf));
        expect(framesOf(split(bytes, cuts)).map(contentOf)).toEqual(contents);
      }),
    );
  });

  test('put the bytes where wire.ts says', () => {
    const bytes = encodeFrame({ verb: VERB.ACK, id: 0x01020304, fields: [[TAG.PID, 258]] });
    expect(bytes.toString('hex')).toBe(
      ['18000000', '0400', '0000', '04030201', '0300', '0000', '08000000', '0201000000000000'].join(
        '',
      ),
    );
  });

  test('hold a frame of the greatest size and refuse the next byte', () => {
    const largest = MAX_FRAME - 12 - 8;
    const fits = encodeFrame({ verb: 1, id: 1, fields: [[TAG.BYTES, Buffer.alloc(largest)]] });
    expect(fits.length).toBe(MAX_FRAME);
    expect(framesOf([fits])[0]?.fields.bytes(TAG.BYTES).length).toBe(largest);
    expect(() =>
      encodeFrame({ verb: 1, id: 1, fields: [[TAG.BYTES, Buffer.alloc(largest + 1)]] }),
    ).toThrow(RangeError);
  });

  test('refuse what C would read as something else', () => {
    const send = (value: string | number) => () => encodeFields([[TAG.TEXT, value]]);
    expect(send('a\0b')).toThrow(RangeError);
    expect(send(-1)).toThrow(RangeError);
    expect(send(1.5)).toThrow(RangeError);
    expect(send(2 ** 60)).toThrow(RangeError);
    expect(send(Number.NaN)).toThrow(RangeError);
  });
});

describe('FrameReader', () => {
  test('refuses a frame that is too long as soon as its head is there', () => {
    expect(() => framesOf([headOf(MAX_FRAME + 1)])).toThrow(FrameError);
    expect(() => framesOf([headOf(0xffff_ffff)])).toThrow(FrameError);
  });

  test('refuses a frame without room for its head', () => {
    expect(() => framesOf([headOf(7)])).toThrow(FrameError);
  });

  test('tells whether it is in the middle of a frame', () => {
    const bytes = encodeFrame({ verb: VERB.OK, id: 1, fields: [] });
    const reader = new FrameReader();
    expect(reader.isInside).toBe(false);
    reader.push(bytes.subarray(0, 5));
    expect(reader.isInside).toBe(true);
    reader.push(bytes.subarray(5));
    expect(reader.isInside).toBe(false);
  });

  test('never throws anything but a FrameError, whatever comes in', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 })), (chunks) => {
        try {
          for (const frame of framesOf(chunks)) frame.fields.entries(TAG.ENTRY);
        } catch (error) {
          expect(error).toBeInstanceOf(FrameError);
        }
      }),
    );
  });
});

describe('Fields', () => {
  const parse = (fields: readonly Field[]) => Fields.parse(encodeFields(fields));

  test('throw a FrameError that names a field that is missing', () => {
    expect(() => parse([]).number(TAG.PID)).toThrow(/^PID is missing$/);
  });

  test('throw for a number of another width and for one beyond 2^53', () => {
    expect(() => parse([[TAG.PID, 'x']]).number(TAG.PID)).toThrow(/^PID is not a number$/);
    expect(() => parse([[TAG.PID, 2n ** 60n]]).number(TAG.PID)).toThrow(/^PID is too large$/);
    expect(parse([[TAG.PID, 2n ** 60n]]).bigint(TAG.PID)).toBe(2n ** 60n);
  });

  test('skip tags that they do not know', () => {
    const fields = parse([[TAG.PID, 7]]);
    const unknown = Buffer.from('ff7f000002000000abcd', 'hex');
    const bytes = Buffer.concat([unknown, encodeFields([[TAG.PID, 7]])]);
    expect(Fields.parse(bytes).number(TAG.PID)).toBe(fields.number(TAG.PID));
  });

  test('throw for a field that reaches beyond its frame', () => {
    const bytes = encodeFields([[TAG.TEXT, 'abc']]);
    expect(() => Fields.parse(bytes.subarray(0, bytes.length - 1))).toThrow(FrameError);
    expect(() => Fields.parse(bytes.subarray(0, 5))).toThrow(FrameError);
  });

  test('read an optional field only if it is there', () => {
    const pid = (fields: Fields) => fields.optional(TAG.PID, (one) => one.number(TAG.PID), null);
    expect(pid(parse([]))).toBeNull();
    expect(pid(parse([[TAG.PID, 3]]))).toBe(3);
  });
});
