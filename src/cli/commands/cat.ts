/** `emperor cat NAME [--resolved]`: the file as it is on disk, or every key with value and origin. */
import type { ResolvedValue } from '../../emperor/governor.ts';
import { type Call, onlyWord } from '../call.ts';
import { EXIT } from '../exit.ts';
import { isOutputTerminal, print, printJson, tableStyle } from '../output.ts';
import { printableLines } from '../printable.ts';
import { reach } from '../reach.ts';
import { renderTable, type TableStyle } from '../table.ts';

export async function run(call: Call): Promise<number> {
  const { globals } = call;
  const name = onlyWord(call);
  const client = await reach(globals);
  if (call.options.flag('resolved')) {
    const values = await client.resolved(name);
    if (globals.json) printJson(values);
    else print(renderValues(values, tableStyle(globals)));
    return EXIT.done;
  }
  const file = await client.file(name);
  if (globals.json) printJson(file);
  else print(isOutputTerminal() ? printableLines(file.text) : file.text);
  return EXIT.done;
}

/** Pure. */
export function renderValues(values: readonly ResolvedValue[], style?: TableStyle): string {
  const columns = [
    { title: 'KEY', cell: ({ key }: ResolvedValue) => key },
    { title: 'VALUE', cell: ({ value }: ResolvedValue) => value },
    { title: 'FROM', cell: ({ origin }: ResolvedValue) => origin },
  ];
  return renderTable(values, columns, style);
}
