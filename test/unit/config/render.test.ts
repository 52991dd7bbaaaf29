import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Diagnostic } from '../../../src/base/errors.ts';
import { renderDiagnostics } from '../../../src/config/render/diagnostics.ts';

const finding = (changes: Partial<Diagnostic> = {}): Diagnostic => ({
  file: '/v/blog.ini',
  line: 3,
  column: 5,
  severity: 'error',
  code: 'unknown-key',
  message: 'There is no key',
  ...changes,
});

describe('renderDiagnostics()', () => {
  test('shows place, severity, code and message, the line with a caret, the hint', () => {
    const text = 'env comand = x';
    expect(renderDiagnostics([finding({ text, hint: 'did you mean `command`?' })])).toBe(
      `/v/blog.ini:3:5: error[unknown-key]: There is no key
    env comand = x
        ^
  hint: did you mean \`command\`?
`,
    );
  });

  test('leaves out what there is none of', () => {
    expect(renderDiagnostics([])).toBe('');
    expect(renderDiagnostics([finding({ line: 0, column: 0, severity: 'warning' })])).toBe(
      '/v/blog.ini: warning[unknown-key]: There is no key\n',
    );
  });

  test('writes control characters as escapes, and keeps the caret below its character', () => {
    const text = '\t\x1b[31mé\u202e =\u0000 x';
    const [, line, caret] = renderDiagnostics([finding({ text, column: 10 })]).split('\n');
    expect(line).toBe('     \\x1b[31mé\\u{202e} =\\x00 x');
    expect(line?.[caret?.indexOf('^') ?? -1]).toBe('=');
  });

  test('shows of a long line what is around the caret', () => {
    const text = `${'a'.repeat(500)}!${'b'.repeat(500)}`;
    const [, line = '', caret = ''] = renderDiagnostics([finding({ text, column: 501 })]).split(
      '\n',
    );
    expect(line[caret.indexOf('^')]).toBe('!');
    expect(line.length).toBeLessThan(200);
  });

  test('lets nothing through that a terminal acts upon, wherever it stands', () => {
    const any = fc.string({ unit: 'binary', maxLength: 60 });
    fc.assert(
      fc.property(any, any, any, any, fc.nat(80), (file, message, hint, text, column) => {
        const output = renderDiagnostics([finding({ file, message, hint, text, column })]);
        expect(output.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
        expect(output.split('\n').length).toBeLessThanOrEqual(5);
      }),
    );
  });
});
