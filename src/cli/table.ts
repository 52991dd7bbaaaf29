/** Tables for people: columns as wide as their widest cell, the last one as it comes. Pure. */
import { type Colour, type Paint, painter } from './paint.ts';
import { printable } from './printable.ts';

export interface Cell {
  readonly text: string;
  readonly colour?: Colour;
}

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string | Cell;
  readonly alignRight?: true;
}

export interface TableStyle {
  readonly paint: Paint;
  /** Lines are cut there; null where they may be of any length. */
  readonly width: number | null;
}

const GAP = '  ';
const PLAIN: TableStyle = { paint: painter(false), width: null };

/** Returns one line a row below the titles, each ended by a line end. */
export function renderTable<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  style: TableStyle = PLAIN,
): string {
  const titles = columns.map(({ title }): Cell => ({ text: title, colour: 'dim' }));
  const body = rows.map((row) => columns.map((column) => cellOf(column.cell(row))));
  const widths = columns.map((_, index) =>
    Math.max(...[titles, ...body].map((cells) => lengthOf(cells[index]))),
  );
  const line = (cells: readonly Cell[]) => renderLine(cells, { columns, widths, style });
  return [titles, ...body].map(line).join('');
}

function cellOf(cell: string | Cell): Cell {
  return typeof cell === 'string'
    ? { text: printable(cell) }
    : { ...cell, text: printable(cell.text) };
}

function lengthOf(cell: Cell | undefined): number {
  return [...(cell?.text ?? '')].length;
}

interface LineSetting<Row> {
  readonly columns: readonly Column<Row>[];
  readonly widths: readonly number[];
  readonly style: TableStyle;
}

function renderLine<Row>(cells: readonly Cell[], setting: LineSetting<Row>): string {
  const { columns, widths, style } = setting;
  let room = style.width ?? Number.POSITIVE_INFINITY;
  let line = '';
  for (const [index, cell] of cells.entries()) {
    const isLast = index === cells.length - 1;
    const text = cut(cell.text, room);
    const isPadded = !isLast || columns[index]?.alignRight === true;
    const pad = ' '.repeat(isPadded ? Math.max(0, (widths[index] ?? 0) - [...text].length) : 0);
    const painted = cell.colour ? style.paint(cell.colour, text) : text;
    line += columns[index]?.alignRight ? pad + painted : painted + pad;
    if (!isLast) line += GAP;
    room -= [...text].length + pad.length + GAP.length;
  }
  return `${line.trimEnd()}\n`;
}

function cut(text: string, room: number): string {
  const letters = [...text];
  if (letters.length <= room) return text;
  return room < 1 ? '' : `${letters.slice(0, room - 1).join('')}…`;
}
