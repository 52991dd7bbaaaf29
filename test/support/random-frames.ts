/** Frames and jail plans that are nearly right, from a seed: the same seed makes the same ones. */

import { launchFields, stepFields } from '../../src/jail/encode.ts';
import { encodeFields, encodeFrame, type Field } from '../../src/jail/frames.ts';
import type { JailPlan } from '../../src/jail/plan.ts';
import { OP, TAG, VERB } from '../../src/jail/wire.ts';

export interface Dice {
  /** An integer from 0 to below `limit`. */
  below(limit: number): number;
  oneOf<T>(choices: readonly T[]): T;
  /** True once in `times`. */
  once(times: number): boolean;
}

/** mulberry32: small, and good enough to be told from order. */
export function dice(seed: number): Dice {
  let state = seed >>> 0;
  const below = (limit: number) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return Math.floor((((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
  return {
    below,
    // An empty list is a mistake of the test.
    oneOf: (choices) => choices[below(choices.length)] as (typeof choices)[number],
    once: (times) => below(times) === 0,
  };
}

const TAGS = Object.values(TAG);
const NUMBERS = [
  0n,
  1n,
  2n,
  7n,
  9n,
  15n,
  64n,
  255n,
  4096n,
  2n ** 31n,
  2n ** 32n,
  2n ** 63n,
  2n ** 64n - 1n,
];
const COMMANDS = [
  ['/bin/says', 'hello', '-e', 'there'],
  ['/bin/ends', 'exit', '3'],
  ['/bin/cat'],
  ['/bin/none'],
  ['none'],
  [''],
];

function bytes(dice: Dice, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => dice.below(256)));
}

function fieldOf(dice: Dice): Field {
  const tag = dice.oneOf(TAGS);
  if (dice.once(2)) return [tag, dice.oneOf(NUMBERS)];
  if (dice.once(2)) return [tag, bytes(dice, dice.below(64))];
  if (dice.once(8)) return [tag, 'x'.repeat(dice.oneOf([127, 128, 4095, 4096, 60_000]))];
  return [tag, [[dice.oneOf(TAGS), dice.oneOf(NUMBERS)]]];
}

function startFields(dice: Dice): readonly Field[] {
  return [
    [TAG.SLOT, dice.oneOf(NUMBERS)],
    [TAG.STDIO, dice.below(4)],
    ...dice.oneOf(COMMANDS).map((arg): Field => [TAG.ARG, arg]),
    ...(dice.once(4) ? [[TAG.CWD, dice.oneOf(['/', '/tmp', '/none', ''])] as const] : []),
    ...(dice.once(4) ? [fieldOf(dice)] : []),
  ];
}

export interface RandomFrame {
  readonly bytes: Buffer;
  /** What follows it would be read from its middle, and could be any verb. */
  readonly isLast: boolean;
}

/** A frame whose verb is none of `without`; bytes of it may have been changed or cut off. */
export function randomFrame(dice: Dice, without: readonly number[]): RandomFrame {
  const verbs = Object.values(VERB).filter((verb) => !without.includes(verb));
  const verb = dice.once(20) ? 200 + dice.below(1000) : dice.oneOf(verbs);
  const fields =
    verb === VERB.START
      ? startFields(dice)
      : Array.from({ length: dice.below(6) }, () => fieldOf(dice));
  const frame = encodeFrame({ verb, id: dice.below(2 ** 31), fields });
  // The verb itself stays: what is left out must not come about by chance.
  for (let count = dice.once(3) ? dice.below(4) : 0; count > 0 && frame.length > 12; count--) {
    frame[12 + dice.below(frame.length - 12)] = dice.below(256);
  }
  if (dice.once(60)) return { bytes: frame.subarray(0, dice.below(frame.length)), isLast: true };
  return dice.once(60) ? misled(dice, frame) : { bytes: frame, isLast: false };
}

/** A length that is not the frame's. */
function misled(dice: Dice, frame: Buffer): RandomFrame {
  const length = dice.oneOf([0, 7, 8, 100_000, 2 ** 18, 2 ** 31]);
  frame.writeUInt32LE(length, 0);
  return { bytes: frame.subarray(0, Math.max(12, length + 4)), isLast: true };
}

type Entry = readonly Field[];

/**
 * The LAUNCH fields of `plan` with a few of its steps changed. Name and namespaces stay, paths are only ever made
 * longer and no hook is made: whatever comes of it stays inside of what the plan names.
 */
export function randomLaunch(dice: Dice, plan: JailPlan): readonly Field[] {
  const fields = launchFields(plan);
  const entries: Entry[] = plan.steps.map(stepFields);
  for (let count = 1 + dice.below(3); count > 0; count--) changeSteps(dice, entries);
  const encoded = encodeFields(entries.map((entry): Field => [TAG.ENTRY, entry]));
  if (dice.once(10)) encoded.writeUInt32LE(dice.oneOf([0, 1, 100_000, 2 ** 31]), 4);
  return fields.map((field): Field => (field[0] === TAG.PLAN ? [TAG.PLAN, encoded] : field));
}

const HARMLESS_OPS = Object.values(OP).filter((op) => op !== OP.HOOK);

function changeSteps(dice: Dice, entries: Entry[]): void {
  const at = dice.below(entries.length);
  const entry = entries[at] ?? [];
  switch (dice.below(5)) {
    case 0:
      entries.splice(at, 1);
      break;
    case 1:
      entries.splice(at, 0, entry);
      break;
    case 2:
      entries[at] = [[TAG.OP, dice.once(4) ? 99 : dice.oneOf(HARMLESS_OPS)], ...entry.slice(1)];
      break;
    case 3:
      entries[at] = entry.filter((_, index) => index === 0 || !dice.once(2));
      break;
    default:
      entries[at] = entry.map((field, index) => (index === 0 ? field : changedField(dice, field)));
  }
}

function changedField(dice: Dice, [tag, value]: Field): Field {
  if (typeof value === 'string') return [tag, value + dice.oneOf(['', '/x', 'y'.repeat(5000)])];
  if (typeof value === 'number' || typeof value === 'bigint') {
    return [tag, dice.once(2) ? dice.oneOf(NUMBERS) : bytes(dice, dice.below(12))];
  }
  return [tag, bytes(dice, dice.below(100))];
}
