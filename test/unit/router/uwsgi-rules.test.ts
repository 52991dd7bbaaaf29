import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DIRECTION, OwnRules } from '../../../src/router/uwsgi-rules.ts';

interface Rule {
  readonly direction: number;
  readonly src: number;
  readonly srcMask: number;
  readonly dst: number;
  readonly dstMask: number;
  readonly action: number;
}

/** As uWSGI's client packs its struct (plugins/tuntap/common.h). */
function block(rules: readonly Rule[]): Buffer {
  return Buffer.concat(
    rules.map(({ direction, src, srcMask, dst, dstMask, action }) => {
      const bytes = Buffer.alloc(24);
      bytes[0] = direction;
      for (const [index, word] of [src, srcMask, dst, dstMask].entries()) {
        bytes.writeUInt32LE(word, 1 + index * 4);
      }
      bytes[17] = action;
      return bytes;
    }),
  );
}

function read(rules: readonly Rule[]): OwnRules {
  const own = new OwnRules();
  const bytes = block(rules);
  expect(own.read(bytes, 0, bytes.length)).toBe(true);
  return own;
}

const ANY = { src: 0, srcMask: 0, dst: 0, dstMask: 0 };
const HOST = 0x0a630002;
const OTHER = 0xc0a80105;

describe('OwnRules', () => {
  test('pass everything while there is none', () => {
    expect(new OwnRules().judge(DIRECTION.out, HOST, OTHER)).toBe('pass');
  });

  test('let the first rule of the direction that matches decide', () => {
    const rules = read([
      { direction: 0, ...ANY, action: 1 },
      { direction: 1, ...ANY, dst: OTHER, dstMask: 0xffffffff, action: 0 },
      { direction: 1, ...ANY, dst: 0xc0a80000, dstMask: 0xffff0000, action: 2 },
      { direction: 1, ...ANY, action: 1 },
    ]);
    expect(rules.judge(DIRECTION.in, OTHER, HOST)).toBe('drop');
    expect(rules.judge(DIRECTION.out, HOST, OTHER)).toBe('pass');
    expect(rules.judge(DIRECTION.out, HOST, OTHER + 1)).toBe('route');
    expect(rules.judge(DIRECTION.out, HOST, 0x08080808)).toBe('drop');
  });

  test('a network with bits beyond its mask matches nothing, as in uWSGI', () => {
    const rules = read([{ direction: 1, ...ANY, dst: OTHER, dstMask: 0xffffff00, action: 1 }]);
    expect(rules.judge(DIRECTION.out, HOST, OTHER)).toBe('pass');
  });

  test('agree with uWSGI on random rules and packets', () => {
    const word = fc.constantFrom(0, HOST, OTHER, 0xc0a80000, 0xffffffff, 0x0a000000);
    const mask = fc.constantFrom(0, 0xff000000, 0xffff0000, 0xffffff00, 0xffffffff);
    const rule = fc.record({
      direction: fc.nat(1),
      src: word,
      srcMask: mask,
      dst: word,
      dstMask: mask,
      action: fc.nat(2),
    });
    const matches = (wanted: number, bits: number, address: number) =>
      wanted === 0 || BigInt(wanted) === (BigInt(address) & BigInt(bits));
    fc.assert(
      fc.property(
        fc.array(rule, { minLength: 1, maxLength: 20 }),
        fc.nat(1),
        word,
        word,
        (rules, direction, src, dst) => {
          const first = rules.find(
            (each) =>
              each.direction === direction &&
              matches(each.src, each.srcMask, src) &&
              matches(each.dst, each.dstMask, dst),
          );
          const expected = ['pass', 'drop', 'route'][first?.action ?? 0];
          expect(read(rules).judge(direction, src, dst)).toBe(expected);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test.each([
    ['a length that is no number of rules', Buffer.alloc(25)],
    ['an unknown direction', block([{ direction: 2, ...ANY, action: 0 }])],
    ['an unknown action', block([{ direction: 0, ...ANY, action: 3 }])],
    ['more than a frame can hold', Buffer.alloc(24 * 342)],
  ])('refuse %s, and have no rule then', (_, bytes) => {
    const rules = read([{ direction: 1, ...ANY, action: 1 }]);
    expect(rules.read(bytes, 0, bytes.length)).toBe(false);
    expect(rules.judge(DIRECTION.out, HOST, OTHER)).toBe('pass');
  });
});
