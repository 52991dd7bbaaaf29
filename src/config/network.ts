/** What the configuration says about the network, put together as the router wants it. Pure. */
import type { Address } from '../firewall/address.ts';
import { type Chain, deviceChain } from '../firewall/chain.ts';
import type { Cidr } from '../firewall/prefix.ts';
import type { EmperorConfig } from './emperor-config.ts';
import type { Nat, UwsgiRouter } from './kinds/devices.ts';
import type { NatDeny } from './kinds/firewall.ts';
import type { VassalConfig } from './vassal-config.ts';

export type { Nat, UwsgiRouter } from './kinds/devices.ts';
export type { NatDeny } from './kinds/firewall.ts';

/** A chain for packets to vassals and one for packets from them. */
export interface Chains {
  readonly in: Chain;
  readonly out: Chain;
}

export interface RouterConfig {
  readonly device: string;
  /** An absolute path. */
  readonly socket: string;
  /** The host's own address, and the network of the vassals; null: hooks set it. */
  readonly address: Cidr | null;
  /** Null: there is no IPv6. */
  readonly address6: Cidr | null;
  readonly chains: Chains;
  readonly uwsgi: readonly UwsgiRouter[];
  readonly nat: Nat;
  readonly natDeny: readonly NatDeny[];
  /** To be run once the device was made anew. */
  readonly execAsRoot: readonly string[];
}

export interface VassalNetwork {
  readonly device: string;
  /** Null: what hooks set, else one of the router's network. */
  readonly address: Address | null;
  /** Null: one of the router's network, if it has IPv6. */
  readonly address6: Address | null;
  /** The vassal's own rules, which come beside the router's; what they say nothing of is allowed. */
  readonly chains: Chains;
}

/**
 * Returns what the router goes by; null where there is none. Tables are shared by chain (compileChain()), so this is
 * to be called once for each configuration.
 */
export function routerConfigOf(config: EmperorConfig): RouterConfig | null {
  if (!config.router) return null;
  const { firewallIn, firewallOut, firewallPolicy: policy } = config;
  return {
    ...config.router,
    address: config.routerAddress,
    address6: config.routerAddress6,
    chains: { in: { rules: firewallIn, policy }, out: { rules: firewallOut, policy } },
    uwsgi: config.uwsgiRouters,
    nat: config.nat,
    natDeny: config.natDeny,
    execAsRoot: config.execAsRoot,
  };
}

/** Returns what the vassal's device is to be; null where it has none. */
export function vassalNetworkOf(vassal: VassalConfig): VassalNetwork | null {
  if (!vassal.device) return null;
  const { address, address6, deviceRules } = vassal;
  const chains = { in: deviceChain(deviceRules, 'in'), out: deviceChain(deviceRules, 'out') };
  return { device: vassal.device.name, address, address6, chains };
}
