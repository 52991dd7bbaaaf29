/** Colours of a terminal (ECMA-48, SGR). Pure. */

const SGR = { red: 31, green: 32, yellow: 33, blue: 34, cyan: 36, dim: 2, bold: 1 } as const;

export type Colour = keyof typeof SGR;
export type Paint = (colour: Colour, text: string) => string;

/** Returns what colours text, or leaves it as it is. */
export function painter(isColourful: boolean): Paint {
  if (!isColourful) return (_, text) => text;
  return (colour, text) => (text === '' ? '' : `\u001b[${SGR[colour]}m${text}\u001b[0m`);
}
