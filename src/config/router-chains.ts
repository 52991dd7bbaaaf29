/** The router's chains, as emperor.ini says. Pure. */
import type { Chains } from '../firewall/chain.ts';
import type { EmperorFields } from './options/emperor.ts';

/** Tables are shared by chain (compileChain()), so this is to be called once for each configuration. */
export function routerChains({
  firewallIn,
  firewallOut,
  firewallPolicy: policy,
}: Pick<EmperorFields, 'firewallIn' | 'firewallOut' | 'firewallPolicy'>): Chains {
  return { in: { rules: firewallIn, policy }, out: { rules: firewallOut, policy } };
}
