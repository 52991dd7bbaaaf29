/**
 * Which slot of init a daemon has, and what it is called. A slot says which line of the configuration it runs, so
 * that the next emperor, or the next version of the file, recognises it. Pure.
 */
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import type { Daemon } from '../config/kinds/daemons.ts';

/** Of what the line says, 8 hex digits; equal lines of one file differ by their order. */
export type DaemonKey = string;

/** What the slots of daemons begin with; below it are a key's 32 bits and 16 that count its starts. */
const MARK = 0xdae0n;
const RUN_BITS = 16n;

/** Keys of `daemons`, in their order. */
export function keyed(daemons: readonly Daemon[]): ReadonlyMap<DaemonKey, Daemon> {
  const counts = new Map<string, number>();
  return new Map(
    daemons.map((daemon) => {
      const text = JSON.stringify(daemon);
      const count = counts.get(text) ?? 0;
      counts.set(text, count + 1);
      const digest = createHash('sha256').update(`${count}${text}`).digest('hex');
      return [digest.slice(0, 8), daemon];
    }),
  );
}

/** The slot of the `run`-th start. */
export function slotOf(key: DaemonKey, run: number): bigint {
  const low = BigInt(run) % (1n << RUN_BITS);
  return (MARK << 48n) | (BigInt(`0x${key}`) << RUN_BITS) | low;
}

/** What slotOf() was given; undefined for a slot that is no daemon's. */
export function partsOf(
  slot: bigint,
): { readonly key: DaemonKey; readonly run: number } | undefined {
  if (slot >> 48n !== MARK) return undefined;
  const key = ((slot >> RUN_BITS) & 0xffff_ffffn).toString(16).padStart(8, '0');
  return { key, run: Number(slot & ((1n << RUN_BITS) - 1n)) };
}

/** Labels of other processes. */
const RESERVED = ['command', 'crontab', 'exec', 'hook', 'init', 'shell', 'ssh'];
const LABEL_LENGTH = 40;

/** Its name or that of its program; with a number behind it where that is `taken`. */
export function labelOf({ name, command }: Daemon, taken: ReadonlySet<string>): string {
  const text = name ?? basename(command[0] ?? '');
  const base = text.replaceAll(/[^A-Za-z0-9._-]/g, '_').slice(0, LABEL_LENGTH) || 'daemon';
  const isFree = (label: string) => !taken.has(label) && !RESERVED.includes(label);
  for (let number = 1; ; number += 1) {
    const label = number === 1 ? base : `${base}-${number}`;
    if (isFree(label)) return label;
  }
}
