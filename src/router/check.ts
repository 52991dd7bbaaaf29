/** One compiled chain as the hot loops ask it, and what it has denied. Allocates nothing. */
import { compare6 } from '../firewall/address.ts';
import { find4, find6, type Table } from '../firewall/compile.ts';

/** A compiled chain, and how often each of its rules denied: `denials[rule + 1]`, the policy at 0. */
export interface Check {
  readonly table: Table;
  readonly denials: Float64Array;
  /** The interval that the last address was in: the next one is mostly of the same flow, and needs no search. */
  last: number;
}

/** Makes the check of one chain for one vassal. */
export function makeCheck(table: Table, denials: Float64Array): Check {
  return { table, denials, last: 0 };
}

/** Whether packets from or to an IPv4 address are denied; counts it if so. */
export function denies4(check: Check, other: number): boolean {
  const { table, denials, last } = check;
  if (!isIn4(table.starts, last, other)) check.last = find4(table, other);
  return note(table, denials, check.last);
}

/** Whether the interval at `at` has the address; the last interval has no end. */
function isIn4(starts: Uint32Array, at: number, word: number): boolean {
  if (word < (starts[at] as number)) return false;
  return at + 1 === starts.length || word < (starts[at + 1] as number);
}

/** The same for an IPv6 address. */
// biome-ignore format: one line
export function denies6(check: Check, a: number, b: number, c: number, d: number): boolean {
  const { table, denials, last } = check;
  if (!isIn6(table.starts, last << 2, a, b, c, d)) check.last = find6(table, a, b, c, d);
  return note(table, denials, check.last);
}

// biome-ignore format: one line
function isIn6(starts: Uint32Array, at: number, a: number, b: number, c: number, d: number): boolean {
  if (compare6(starts, at, a, b, c, d) > 0) return false;
  return at + 4 === starts.length || compare6(starts, at + 4, a, b, c, d) > 0;
}

function note({ denies, rules }: Table, denials: Float64Array, at: number): boolean {
  if (denies[at] === 0) return false;
  const rule = (rules[at] as number) + 1;
  denials[rule] = (denials[rule] as number) + 1;
  return true;
}
