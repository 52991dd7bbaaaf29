/** One compiled chain as the hot loops ask it, and what it has denied. Allocates nothing. */
import { find4, find6, type Table } from '../firewall/compile.ts';

/** A compiled chain, and how often each of its rules denied: `denials[rule + 1]`, the policy at 0. */
export interface Check {
  readonly table: Table;
  readonly denials: Float64Array;
}

/** Whether packets from or to an IPv4 address are denied; counts it if so. */
export function denies4({ table, denials }: Check, other: number): boolean {
  return note(table, denials, find4(table, other));
}

/** The same for an IPv6 address. */
// biome-ignore format: one line
export function denies6({ table, denials }: Check, a: number, b: number, c: number, d: number): boolean {
  return note(table, denials, find6(table, a, b, c, d));
}

function note({ denies, rules }: Table, denials: Float64Array, at: number): boolean {
  if (denies[at] === 0) return false;
  const rule = (rules[at] as number) + 1;
  denials[rule] = (denials[rule] as number) + 1;
  return true;
}
