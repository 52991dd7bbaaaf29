import { expect, test } from 'vitest';
import { widthOf } from '../../../src/cli/output.ts';
import { painter } from '../../../src/cli/paint.ts';
import { printable } from '../../../src/cli/printable.ts';
import { renderTable } from '../../../src/cli/table.ts';

interface Row {
  readonly name: string;
  readonly count: string;
  readonly note: string;
}

const COLUMNS = [
  { title: 'NAME', cell: ({ name }: Row) => name },
  { title: 'COUNT', cell: ({ count }: Row) => count, alignRight: true as const },
  { title: 'NOTE', cell: ({ note }: Row) => note },
];

test('columns are as wide as their widest cell, and no line ends in blanks', () => {
  const rows = [
    { name: 'a', count: '1', note: 'fine' },
    { name: 'longer', count: '10000', note: '' },
  ];
  expect(renderTable(rows, COLUMNS)).toBe(
    'NAME    COUNT  NOTE\na           1  fine\nlonger  10000\n',
  );
});

test('nothing but titles for nothing', () => {
  expect(renderTable([], COLUMNS)).toBe('NAME  COUNT  NOTE\n');
});

test('lines are cut at the width of the terminal', () => {
  const style = { paint: painter(false), width: 16 };
  const [, line] = renderTable(
    [{ name: 'a', count: '1', note: 'far too long' }],
    COLUMNS,
    style,
  ).split('\n');
  expect(line).toBe('a         1  fa…');
});

test('colours do not count as width, and no text of a cell reaches the terminal raw', () => {
  const columns = [
    { title: 'A', cell: (text: string) => ({ text, colour: 'red' as const }) },
    { title: 'B', cell: () => 'b' },
  ];
  const text = renderTable(['x\u001b[2Jy'], columns, { paint: painter(true), width: null });
  expect(text).toContain('\u001b[31mx\\x1b[2Jy\u001b[0m  b\n');
});

test('printable() keeps tabs and letters, and escapes what a terminal acts upon', () => {
  expect(printable('tab\tünïcode\r\n\u001b]0;x\u0007\u009b\u202e')).toBe(
    'tab\tünïcode\\x0d\\x0a\\x1b]0;x\\x07\\x9b\\u{202e}',
  );
});

test('a terminal that says it is 0 columns wide, as a serial console does, has no known width', () => {
  expect(widthOf({ columns: 0 })).toBeNull();
  expect(widthOf({})).toBeNull();
  expect(widthOf({ columns: 80 })).toBe(80);
});
