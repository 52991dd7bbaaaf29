import { createHash } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MAX_TEXT_BYTES } from '../../../src/config/ini.ts';
import {
  lookAtFile,
  readVassalFile,
  sameSignature,
  textFault,
} from '../../../src/emperor/read-vassal-file.ts';

let directory: string;
let file: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'emperor-read-'));
  file = join(directory, 'x.ini');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** By the platform's own decoder. */
const isUtf8 = (bytes: Uint8Array) => {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return true;
  } catch {
    // A TypeError: the bytes are no UTF-8.
    return false;
  }
};

/** Bytes of few kinds, so that sequences come about, good and bad. */
const hostileBytes = fc
  .array(
    fc.oneof(
      fc.uint8Array({ maxLength: 4 }),
      fc.constantFrom('a', '\n', '\r\n', 'é', '€', '🙂', '\u{10ffff}').map((s) => Buffer.from(s)),
      fc.constantFrom([0xc3], [0x80], [0xed, 0xa0, 0x80], [0xf0, 0x80, 0x80, 0xaf], [0xc0, 0xaf]),
    ),
    { maxLength: 20 },
  )
  .map((parts) => Buffer.concat(parts.map((part) => Buffer.from(part))));

describe('textFault()', () => {
  test('finds none in a text, and one in everything else', () => {
    fc.assert(
      fc.property(hostileBytes, (bytes) => {
        const isText = isUtf8(bytes) && !bytes.includes(0);
        expect(textFault(bytes) === undefined).toBe(isText);
      }),
    );
  });

  test('names the first line that is wrong', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('', 'a', 'é', 'b\r'), { maxLength: 10 }),
        fc.constantFrom([0xff], [0xe9], [0xc3], [0]),
        fc.constantFrom('', '\n', '\nmore', '\n\0\xff'),
        (before, wrong, after) => {
          const head = before.map((line) => `${line}\n`).join('');
          const bytes = Buffer.concat([Buffer.from(head), Buffer.from(wrong), Buffer.from(after)]);
          const expected =
            wrong[0] !== 0 && after.includes('\0') ? before.length + 2 : before.length + 1;
          expect(textFault(bytes)?.line).toBe(expected);
        },
      ),
    );
  });
});

describe('readVassalFile()', () => {
  test('returns the text with its hash and its owner', () => {
    writeFileSync(file, '[vassal]\r\nenv = ö\n');
    chmodSync(file, 0o640);
    expect(readVassalFile(file)).toMatchObject({
      kind: 'content',
      text: '[vassal]\r\nenv = ö\n',
      sha256: createHash('sha256').update('[vassal]\r\nenv = ö\n').digest('hex'),
      owner: { uid: process.getuid?.(), gid: process.getgid?.(), mode: 0o640 },
      leased: true,
    });
  });

  test('reads an empty file, and one of exactly 64 KiB', () => {
    writeFileSync(file, '');
    expect(readVassalFile(file)).toMatchObject({ kind: 'content', text: '' });
    writeFileSync(file, 'x'.repeat(MAX_TEXT_BYTES));
    expect(readVassalFile(file)).toMatchObject({ kind: 'content' });
    writeFileSync(file, 'x'.repeat(MAX_TEXT_BYTES + 1));
    expect(readVassalFile(file)).toMatchObject({ diagnostics: [{ code: 'file-size' }] });
  });

  test('says missing where there is nothing', () => {
    expect(readVassalFile(file)).toEqual({ kind: 'missing' });
    expect(lookAtFile(file)).toBe('missing');
  });

  test('keeps the signature of a refusal that only a change of the file can end', () => {
    writeFileSync(file, '\0');
    const nul = readVassalFile(file);
    expect(nul).toMatchObject({ kind: 'refused', signature: lookAtFile(file) });
    rmSync(file);
    mkdirSync(file);
    expect(readVassalFile(file)).toMatchObject({ kind: 'refused', signature: lookAtFile(file) });
  });

  test('keeps none of a link, whose end may change without it', () => {
    symlinkSync('nowhere', file);
    expect(readVassalFile(file)).toMatchObject({ kind: 'refused', signature: undefined });
    mkdirSync(join(directory, 'nowhere'));
    expect(readVassalFile(file)).toMatchObject({ kind: 'refused', signature: undefined });
  });

  test('refuses with a sentence, a hint and the file', () => {
    mkdirSync(file);
    expect(readVassalFile(file)).toEqual({
      kind: 'refused',
      signature: lookAtFile(file),
      diagnostics: [
        {
          file,
          line: 0,
          column: 0,
          severity: 'error',
          code: 'file-kind',
          message: 'this is a directory, and a vassal file is a regular file',
          hint: 'put a regular file in its place, or remove it',
        },
      ],
    });
  });

  test('never throws, whatever the bytes', () => {
    fc.assert(
      fc.property(hostileBytes, (bytes) => {
        writeFileSync(file, bytes);
        const reading = readVassalFile(file);
        if (reading.kind === 'content') expect(Buffer.from(reading.text)).toEqual(bytes);
        else expect(reading.kind).toBe('refused');
      }),
      { numRuns: 50 },
    );
  });
});

describe('lookAtFile()', () => {
  const look = () => {
    const signature = lookAtFile(file);
    if (typeof signature === 'string') throw new Error(signature);
    return signature;
  };

  test('sees a write of the same size whose times were set back', () => {
    writeFileSync(file, 'aaaa');
    const before = look();
    const { atime, mtime } = statSync(file);
    expect(sameSignature(before, look())).toBe(true);
    writeFileSync(file, 'bbbb');
    utimesSync(file, atime, mtime);
    expect(sameSignature(before, look())).toBe(false);
  });

  test('says unknown where it cannot tell', () => {
    expect(lookAtFile(`${directory}/${'x'.repeat(300)}.ini`)).toBe('unknown');
  });
});
