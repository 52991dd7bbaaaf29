import fc from 'fast-check';
import { parse } from 'ini';
import { describe, expect, test } from 'vitest';
import { Findings } from '../../../src/config/diagnose.ts';
import { MAX_TEXT_BYTES, readIni } from '../../../src/config/ini.ts';
import { brief } from '../../support/configuration.ts';

function read(text: string) {
  const findings = new Findings('x.ini');
  const sections = readIni('x.ini', text, findings);
  return { sections, findings: brief(findings.list()) };
}

/** `[section] key=value` of each entry. */
function entries(text: string) {
  return read(text).sections.flatMap(({ name, entries }) =>
    entries.map(({ key, value }) => [name, key, value]),
  );
}

describe('readIni()', () => {
  test('takes sections, keys and values, and comments at the start of a line only', () => {
    const text = '; one\n  # two\n[a]\nkey = value ; part of it # too\n\n[b]\n x=\ty \n';
    expect(entries(text)).toEqual([
      ['a', 'key', 'value ; part of it # too'],
      ['b', 'x', 'y'],
    ]);
    expect(read(text).findings).toEqual([]);
  });

  test('keeps repeated keys in their order, and everything after the first `=`', () => {
    expect(entries('[a]\nenv = A=1\nenv = B==2\nenv=\n')).toEqual([
      ['a', 'env', 'A=1'],
      ['a', 'env', 'B==2'],
      ['a', 'env', ''],
    ]);
  });

  test('takes LF and CR LF, a byte order mark, and a last line without an end', () => {
    const expected = [['a', 'k', 'v']];
    expect(entries('[a]\nk = v\n')).toEqual(expected);
    expect(entries('[a]\r\nk = v\r\n')).toEqual(expected);
    expect(entries('\uFEFF[a]\nk = v')).toEqual(expected);
  });

  test('tells line and column of key and value, counted in characters', () => {
    const [section] = read('\n\t[a]\n  kéy =\t  välue\n😀x= 😀y\nempty =  \n').sections;
    const places = section?.entries.map(({ keyPlace, valuePlace }) => [
      `${keyPlace.line}:${keyPlace.column}`,
      `${valuePlace.line}:${valuePlace.column}`,
    ]);
    expect(section?.place).toMatchObject({ line: 2, column: 2 });
    expect(places).toEqual([
      ['3:3', '3:11'],
      ['4:1', '4:5'],
      ['5:1', '5:8'],
    ]);
    expect(section?.entries[0]?.keyPlace.text).toBe('  kéy =\t  välue');
  });

  test.each([
    ['a line without `=`', '[a]\n  word\n', ['2:3 bad-line']],
    ['a line without a key', '[a]\n= v\n', ['2:1 bad-line']],
    ['a key before any section', 'k = v\n[a]\n', ['1:1 outside-section']],
    ['text after a section', '[a] ; x\nk = v\n', ['1:1 bad-section']],
    ['an open bracket', '[a\n', ['1:1 bad-section']],
    ['a bracket in a section', '[a[b]\n', ['1:1 bad-section']],
    ['a NUL', '[a]\nk = a\0b\n', ['2:6 control-character']],
    ['an escape', '[a]\nk = \x1b[2J\n', ['2:5 control-character']],
    ['a lone CR, which a terminal obeys', '[a]\n; x\rk = v\n', ['2:4 control-character']],
    ['a NEL', '[a]\nk = \x85\n', ['2:5 control-character']],
    ['a line separator', '[a]\nk = \u2028\n', ['2:5 control-character']],
    ['half of a surrogate pair', '[a]\nk = \ud800\n', ['2:5 control-character']],
  ])('refuses %s', (_, text, expected) => {
    expect(read(text).findings).toEqual(expected);
  });

  test('reads on after a line that it refuses', () => {
    expect(entries('[a]\nword\nk = v\n')).toEqual([['a', 'k', 'v']]);
  });

  test('never takes the keys of a broken section for those of the one before', () => {
    expect(entries('[a]\nk = v\n[b\nx = y\n')).toEqual([['a', 'k', 'v']]);
  });

  test('lets only `endfor` stand without `=`', () => {
    expect(entries('[a]\n endfor \n')).toEqual([['a', 'endfor', '']]);
  });

  test('takes 64 KiB and not a byte more', () => {
    const head = '[a]\n; é';
    const fill = 'x'.repeat(MAX_TEXT_BYTES - Buffer.byteLength(head));
    expect(read(head + fill).findings).toEqual([]);
    expect(read(`${head}${fill}x`)).toEqual({ sections: [], findings: ['0:0 file-size'] });
  });

  test('reads what the `ini` package reads, where that keeps a value as it is', () => {
    const word = fc.stringMatching(/^[a-z][a-z0-9 /:,.=+-]{0,20}[a-z0-9]$/);
    const key = fc.stringMatching(/^[a-z][a-z-]{0,10}[a-z]$/);
    // The package turns these words into values of other types, and __proto__ into nothing.
    const plain = word.filter((text) => !['true', 'false', 'null'].includes(text));
    fc.assert(
      fc.property(
        key,
        fc.uniqueArray(fc.tuple(key, plain), { selector: ([k]) => k }),
        (name, pairs) => {
          const text = `[${name}]\n${pairs.map(([k, v]) => `${k} = ${v}\n; c\n`).join('')}`;
          const oracle = parse(text)[name] ?? {};
          expect(entries(text)).toEqual(Object.entries(oracle).map(([k, v]) => [name, k, v]));
        },
      ),
    );
  });

  test('never throws, and gives each line at most one entry', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
        expect(entries(text).length).toBeLessThanOrEqual(text.split('\n').length);
      }),
    );
  });

  test('no value holds a line end, a control character, or blanks around it', () => {
    const piece = fc.constantFrom(
      '[a]',
      '\n',
      '\r',
      '=',
      'k',
      ' ',
      '\t',
      '\0',
      ';',
      '\x85',
      '\u2029',
      'é',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
        for (const [, key, value] of entries(`[a]\n${pieces.join('')}`)) {
          expect(value).not.toMatch(/[\n\r\0\x85\u2028\u2029]|^[ \t]|[ \t]$/);
          expect(key).not.toMatch(/[\n\r\0=]/);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('reads back the entry that was written', () => {
    const value = fc
      .string({ unit: 'grapheme', maxLength: 60 })
      .map((text) => text.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, '').trim());
    fc.assert(
      fc.property(fc.array(value, { maxLength: 5 }), (values) => {
        const text = `[a]\n${values.map((each) => `key = ${each}\n`).join('')}`;
        expect(entries(text)).toEqual(values.map((each) => ['a', 'key', each]));
      }),
    );
  });
});
