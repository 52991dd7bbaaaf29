/** Text that somebody else wrote, made safe for a terminal. Pure. */
import { visible } from '../base/visible.ts';

/** Returns `text` as one line in which only tabs are left of all control characters. */
export function printable(text: string): string {
  return text.split('\t').map(visible).join('\t');
}

/** Does the same for each line of a longer text. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}
