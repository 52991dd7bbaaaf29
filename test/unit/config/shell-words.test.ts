import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { joinWords, shellSyntaxIn, splitWords } from '../../../src/config/kinds/shell-words.ts';

function wordsOf(text: string): readonly string[] {
  const split = splitWords(text);
  if ('message' in split) throw new Error(split.message);
  return split.words.map((word) => word.text);
}

describe('splitWords()', () => {
  test('splits as a shell does', () => {
    expect(wordsOf(`a  b\t'c d' "e \\" \\x f" g\\ h i''j ""`)).toEqual([
      'a',
      'b',
      'c d',
      'e " \\x f',
      'g h',
      'ij',
      '',
    ]);
  });

  test.each([
    [`echo 'abc`, 5],
    [`echo "a'b`, 5],
    ['echo \\', 5],
    [`a 'b' c"d\\"`, 7],
  ])('says where the quote of %s begins', (text, offset) => {
    expect(splitWords(text)).toMatchObject({ offset });
  });

  test('gives what a real shell gives', () => {
    const text = fc.array(
      fc.constantFrom('a', 'b', ' ', '\t', "'", '"', '\\', '=', '/', '%', 'é'),
      {
        minLength: 1,
        maxLength: 14,
      },
    );
    // A `#` or `~` would mean something to the shell, so the alphabet has none; all samples go to one shell.
    const samples = fc
      .sample(text, { numRuns: 400, seed: 7 })
      .map((pieces) => `x ${pieces.join('')}`)
      .filter((sample) => 'words' in splitWords(sample));
    const script = samples.map((sample) => `printf '%s\\0' ${sample}\nprintf '\\n\\0'\n`).join('');
    const output = execFileSync('/bin/sh', { input: script, encoding: 'utf8' });
    const groups = output.split('\n\0').slice(0, -1);
    expect(groups.map((group) => group.split('\0').slice(0, -1))).toEqual(samples.map(wordsOf));
    expect(samples.length).toBeGreaterThan(100);
  });

  test('reads back the words that joinWords() wrote', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: 'grapheme' }).filter((s) => !s.includes('\n'))),
        (words) => {
          expect(wordsOf(joinWords(words))).toEqual(words);
        },
      ),
    );
  });
});

describe('shellSyntaxIn()', () => {
  const found = (text: string) => {
    const split = splitWords(text);
    return 'words' in split ? shellSyntaxIn(split.words)?.text : undefined;
  };

  test.each([
    '&&',
    '||',
    '|',
    '>',
    '<',
    '>>',
    ';',
    '&',
    '2>&1',
    '>/dev/null',
    '$HOME',
    '$(date)',
    '`date`',
    'cd;',
  ])('finds a bare %s', (word) => {
    expect(found(`echo ${word} x`)).toBe(word);
  });

  test.each([
    `sh -c 'a && b > c; $X'`,
    'curl http://localhost/?a=1&b=2',
    'find . -exec x {} \\;',
    'echo "$X" 100$',
    'grep a|b',
    'x --cost=5$',
  ])('leaves %s alone', (text) => {
    expect(found(text)).toBeUndefined();
  });
});
