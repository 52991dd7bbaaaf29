/**
 * What a chain of rules means: the plain interpreter, one rule after the other. compile.ts does the same faster, and
 * a test holds it to this. Pure.
 */
import type { Address } from './address.ts';
import { contains } from './prefix.ts';
import type { Action, ChainName, DeviceRule, Rule } from './rule.ts';

export interface Chain {
  readonly rules: readonly Rule[];
  /** What happens to a packet that no rule speaks of. */
  readonly policy: Action;
}

/** One for what vassals send and one for what is sent to vassals. */
export type Chains = Readonly<Record<ChainName, Chain>>;

/** Lets nothing through. */
export const CLOSED: Chains = {
  in: { rules: [], policy: 'deny' },
  out: { rules: [], policy: 'deny' },
};

export interface Packet {
  readonly src: Address;
  /** Of the family of `src`. */
  readonly dst: Address;
}

export interface Judgement {
  readonly action: Action;
  /** Index of the rule that decided; -1 where the policy did. */
  readonly rule: number;
}

/** Lets the first rule that speaks of the packet decide, else the policy. */
export function judge({ rules, policy }: Chain, packet: Packet): Judgement {
  const index = rules.findIndex((rule) => speaksOf(rule, packet));
  return { action: rules[index]?.action ?? policy, rule: index };
}

function speaksOf({ sides }: Rule, { src, dst }: Packet): boolean {
  return sides === null || (contains(sides.src, src) && contains(sides.dst, dst));
}

/** The chains that a vassal's own rules make; they only take away, so their policy is to allow. */
export function deviceChains(rules: readonly DeviceRule[]): Chains {
  const chain = (name: ChainName): Chain => ({
    rules: rules.filter((rule) => rule.chain === name),
    policy: 'allow',
  });
  return { in: chain('in'), out: chain('out') };
}
