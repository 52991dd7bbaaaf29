/**
 * Addresses of both families as words of 32 bits, unsigned, most significant first: one for IPv4, four for
 * IPv6. They are plain JSON, and what a packet's header yields without a detour. Pure.
 */

export type Family = 4 | 6;

export interface Address {
  readonly family: Family;
  /** One word, or four. */
  readonly words: readonly number[];
}

/** What `::ffff:a.b.c.d` begins with. */
const MAPPED = [0, 0, 0xffff];
/** `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255` is the longest. */
const MAX_LENGTH = 45;

/** Returns the address that `text` is, undefined if it is none. Strict: no leading zeros in IPv4, no zone. */
export function parseAddress(text: string): Address | undefined {
  if (text.length > MAX_LENGTH) return undefined;
  if (!text.includes(':')) {
    const word = parse4(text);
    return word === undefined ? undefined : { family: 4, words: [word] };
  }
  const groups = groupsOf(text);
  return groups && { family: 6, words: wordsOf(groups) };
}

/** The canonical text, by RFC 5952 for IPv6. */
export function printAddress({ family, words }: Address): string {
  const last = words.at(-1) ?? 0;
  if (family === 4) return print4(last);
  if (MAPPED.every((word, index) => words[index] === word)) return `::ffff:${print4(last)}`;
  return print6(words.flatMap((word) => [word >>> 16, word & 0xffff]));
}

/** 32 or 128. */
export function bitsOf(family: Family): number {
  return family === 4 ? 32 : 128;
}

/** Negative, 0 or positive, as `a` stands before, at or after `b` of the same family. */
export function compareWords(a: readonly number[], b: readonly number[]): number {
  for (let index = 0; index < a.length; index += 1) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** The same for IPv6: the four words at `at` stand before, at or after `a` to `d`. Allocates nothing. */
// biome-ignore format: one line
export function compare6(words: Uint32Array, at: number, a: number, b: number, c: number, d: number): number {
  return (
    (words[at] as number) - a ||
    (words[at + 1] as number) - b ||
    (words[at + 2] as number) - c ||
    (words[at + 3] as number) - d
  );
}

export function isSameAddress(a: Address, b: Address): boolean {
  return a.family === b.family && compareWords(a.words, b.words) === 0;
}

// ── IPv4 ───────────────────────────────────────────────────────────────────────────────────────

function parse4(text: string): number | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (!match) return undefined;
  let word = 0;
  for (const digits of match.slice(1)) {
    const byte = Number(digits);
    // A leading zero is octal to some readers and decimal to others.
    if (byte > 255 || String(byte) !== digits) return undefined;
    word = word * 256 + byte;
  }
  return word;
}

function print4(word: number): string {
  return [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255].join('.');
}

// ── IPv6 ───────────────────────────────────────────────────────────────────────────────────────

/** Returns the eight groups of 16 bits. */
function groupsOf(text: string): readonly number[] | undefined {
  const [head = '', tail, ...rest] = withoutDots(text).split('::');
  if (rest.length > 0) return undefined;
  const before = parseGroups(head);
  const after = parseGroups(tail ?? '');
  if (!before || !after) return undefined;
  const missing = 8 - before.length - after.length;
  // `::` stands for at least one group.
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined;
  return [...before, ...Array<number>(missing).fill(0), ...after];
}

/** An IPv4 address at the end, as two groups; one that is none stays, and is refused as a group. */
function withoutDots(text: string): string {
  const start = text.lastIndexOf(':') + 1;
  const word = parse4(text.slice(start));
  if (word === undefined) return text;
  return `${text.slice(0, start)}${(word >>> 16).toString(16)}:${(word & 0xffff).toString(16)}`;
}

function parseGroups(text: string): readonly number[] | undefined {
  if (text === '') return [];
  const groups = text.split(':');
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  return groups.map((group) => Number.parseInt(group, 16));
}

function wordsOf(groups: readonly number[]): readonly number[] {
  return [0, 2, 4, 6].map((at) => (groups[at] ?? 0) * 0x10000 + (groups[at + 1] ?? 0));
}

function print6(groups: readonly number[]): string {
  const { start, length } = longestZeros(groups);
  const print = (part: readonly number[]) => part.map((group) => group.toString(16)).join(':');
  if (length < 2) return print(groups);
  return `${print(groups.slice(0, start))}::${print(groups.slice(start + length))}`;
}

/** The first of the longest runs of zeros. */
function longestZeros(groups: readonly number[]) {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (const [index, group] of groups.entries()) {
    if (group !== 0) start = index + 1;
    else if (index + 1 - start > best.length) best = { start, length: index + 1 - start };
  }
  return best;
}
