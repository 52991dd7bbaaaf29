import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatLogLine } from '../../../src/cli/logs/format.ts';
import { LineJoiner, MAX_JOINED_BYTES, parseLogLine } from '../../../src/cli/logs/line.ts';

const TIME = '2026-01-02T03:04:05.123456789Z';
const parse = (text: string) => parseLogLine(Buffer.from(text));
const textOf = (line: { readonly text: Buffer } | undefined) => line?.text.toString();

describe('parseLogLine()', () => {
  test('takes time, stream, label and text apart', () => {
    const line = parse(`${TIME} stderr F web  two  blanks `);
    expect(line).toMatchObject({ time: TIME, stream: 'stderr', label: 'web', isWhole: true });
    expect(textOf(line)).toBe(' two  blanks ');
  });

  test('an empty text is an empty line', () => {
    expect(textOf(parse(`${TIME} stdout F web `))).toBe('');
  });

  test.each([
    '',
    'junk',
    `${TIME} stdout X web text`,
    `${TIME} stdout F web`,
    '0 stdout F web text',
  ])('what init did not write whole is all text: %j', (text) => {
    expect(parse(text)).toMatchObject({ time: '', label: '', isWhole: true });
    expect(textOf(parse(text))).toBe(text);
  });

  test('never throws, and never loses a byte of a text', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const text = Buffer.from(bytes);
        const whole = Buffer.concat([Buffer.from(`${TIME} stdout F web `), text]);
        expect(parseLogLine(whole).text.equals(text)).toBe(true);
        expect(() => parseLogLine(text)).not.toThrow();
      }),
    );
  });
});

describe('LineJoiner', () => {
  test('puts the parts of a line together, by process and stream', () => {
    const joiner = new LineJoiner();
    expect(joiner.add(parse(`${TIME} stdout P a one`))).toBeUndefined();
    expect(joiner.add(parse(`${TIME} stdout P b x`))).toBeUndefined();
    expect(textOf(joiner.add(parse(`${TIME} stderr F a aside`)))).toBe('aside');
    expect(textOf(joiner.add(parse(`${TIME} stdout F a two`)))).toBe('onetwo');
    expect(textOf(joiner.add(parse(`${TIME} stdout F b y`)))).toBe('xy');
    expect(joiner.rest()).toEqual([]);
  });

  test('shows a line without end in pieces', () => {
    const joiner = new LineJoiner();
    const part = `${TIME} stdout P a ${'x'.repeat(8192)}`;
    const pieces = Array.from({ length: 100 }, () => joiner.add(parse(part))).filter(Boolean);
    expect(pieces.length).toBeGreaterThan(2);
    for (const piece of pieces) expect(piece?.text.length).toBeLessThan(MAX_JOINED_BYTES + 8193);
  });

  test('keeps what was begun for the end', () => {
    const joiner = new LineJoiner();
    joiner.add(parse(`${TIME} stdout P a begun`));
    expect(joiner.rest().map(textOf)).toEqual(['begun']);
  });
});

describe('formatLogLine()', () => {
  const line = parse(`${TIME} stdout F web a\tb\u001b[31mred\u0000\u009b`);

  test('shows time, label and text, and no control character but the tab', () => {
    expect(formatLogLine(line, 'text').toString()).toBe(
      '2026-01-02T03:04:05.123Z web a\tb\\x1b[31mred\\x00\\x9b\n',
    );
  });

  test('JSON is one object a line', () => {
    const text = formatLogLine(line, 'json').toString();
    expect(text.indexOf('\n')).toBe(text.length - 1);
    expect(JSON.parse(text)).toMatchObject({ time: TIME, stream: 'stdout', label: 'web' });
  });

  test('raw is the text, byte by byte', () => {
    const bytes = Buffer.from([0x00, 0x1b, 0xff, 0xfe]);
    expect(formatLogLine({ ...line, text: bytes }, 'raw')).toEqual(
      Buffer.from([0x00, 0x1b, 0xff, 0xfe, 0x0a]),
    );
  });

  test('no text of a tenant can put a control character on a terminal', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const shown = formatLogLine({ ...line, text: Buffer.from(bytes) }, 'text').toString();
        expect(shown.slice(0, -1)).not.toMatch(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/);
      }),
    );
  });
});
