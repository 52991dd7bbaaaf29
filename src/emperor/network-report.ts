/** What `emperor net` tells, out of what the emperor and its router hold. Pure. */
import type { EmperorConfig } from '../config/emperor-config.ts';
import { routerChains } from '../config/router-chains.ts';
import type { VassalConfig } from '../config/vassal-config.ts';
import { type Address, printAddress } from '../firewall/address.ts';
import { type Cidr, printCidr, printPrefix } from '../firewall/prefix.ts';
import { CHAIN_NAMES, type DeviceRule, printRule } from '../firewall/rule.ts';
import type { Addresses } from '../network/address-pool.ts';
import type { PoolUsage } from '../network/family-pool.ts';
import { NO_TRAFFIC, type Traffic } from '../router/counters.ts';
import type { Denials } from '../router/gates.ts';
import type { RouterAbout, RouterStatus } from '../router/protocol.ts';
import { HOST_ROW } from '../router/router.ts';
import type {
  NetworkStatus,
  RouterStats,
  RuleStatus,
  VassalNetworkStatus,
  VassalState,
  VassalTraffic,
} from './governor.ts';
import type { HostCidrs } from './host-network.ts';

/** A vassal with a device. */
export interface NetworkMember extends Addresses {
  readonly name: string;
  readonly state: VassalState;
  /** Its own. */
  readonly rules: readonly DeviceRule[];
}

export interface NetworkSource {
  readonly config: EmperorConfig;
  readonly router: RouterStats;
  /** Null where the router has never answered. */
  readonly status: RouterStatus | null;
  readonly cidrs: HostCidrs;
  readonly pools: readonly PoolUsage[];
  readonly dns: readonly string[];
  readonly members: readonly NetworkMember[];
  /** Of one that is gone. */
  readonly addressesOf: (name: string) => Addresses;
}

export function networkStatusOf(source: NetworkSource): NetworkStatus {
  const { config, router, status, cidrs, pools, dns } = source;
  const { nat, firewallPolicy } = config;
  return {
    router,
    address: cidrText(cidrs.cidr4),
    address6: cidrText(cidrs.cidr6),
    pools: pools.map(({ network, size, used }) => ({ network: printPrefix(network), size, used })),
    nat: typeof nat === 'string' ? nat : nat.device,
    dns,
    policy: firewallPolicy,
    rules: [...rulesOf(chainLines(config), denialsFor(status, null)), ...ownRules(source)],
    host: status?.traffic[HOST_ROW] ?? null,
    vassals: trafficTable(source),
  };
}

/** `about` is null where the router does not answer. */
export function routerStatsOf(device: string, about: RouterAbout | null): RouterStats {
  return {
    device,
    pid: about?.pid ?? null,
    mode: about?.packets.mode ?? null,
    reason: about?.packets.reason ?? null,
    memoryBytes: about?.memoryBytes ?? null,
    cpuSeconds: about?.cpuSeconds ?? null,
  };
}

export interface VassalNetworkSource {
  readonly name: string;
  /** What it runs with, else what it would run with. */
  readonly config: VassalConfig | undefined;
  readonly isAttached: boolean;
  readonly addresses: Addresses;
  readonly cidrs: HostCidrs;
  readonly dns: readonly string[];
  readonly status: RouterStatus | null;
}

export function vassalNetworkOf(source: VassalNetworkSource): VassalNetworkStatus {
  const { name, config, isAttached, addresses, cidrs, dns, status } = source;
  const device = config?.device?.name ?? null;
  const gateway = (cidr: Cidr | null) => (device && cidr ? printAddress(cidr.address) : null);
  return {
    name,
    device,
    isAttached,
    address: addressText(addresses.address),
    address6: addressText(addresses.address6),
    gateway: gateway(cidrs.cidr4),
    gateway6: gateway(cidrs.cidr6),
    dns,
    rules: rulesOf(ownLines(name, config?.deviceRules ?? []), denialsFor(status, name)),
    traffic: device === null ? null : trafficIn(status, name),
  };
}

/** Totals of a vassal in the router's answer; null without one. */
export function trafficIn(status: RouterStatus | null, name: string): Traffic | null {
  return status && (status.traffic[name] ?? NO_TRAFFIC);
}

export function addressText(address: Address | null): string | null {
  return address && printAddress(address);
}

function cidrText(cidr: Cidr | null): string | null {
  return cidr && printCidr(cidr);
}

function trafficTable({ members, status, addressesOf }: NetworkSource): readonly VassalTraffic[] {
  const known = new Set(members.map(({ name }) => name));
  const gone = Object.keys(status?.traffic ?? {})
    .filter((name) => name !== HOST_ROW && !known.has(name))
    .map((name) => ({ name, state: null, ...addressesOf(name) }));
  return [...members, ...gone]
    .map(({ name, state, address, address6 }) => ({
      name,
      state,
      address: addressText(address),
      address6: addressText(address6),
      traffic: trafficIn(status, name) ?? NO_TRAFFIC,
    }))
    .sort((a, b) => bytesOf(b.traffic) - bytesOf(a.traffic) || (a.name < b.name ? -1 : 1));
}

function bytesOf({ rxBytes, txBytes }: Traffic): number {
  return rxBytes + txBytes;
}

type RuleLine = Pick<RuleStatus, 'chain' | 'rule' | 'vassal'>;

function chainLines(config: EmperorConfig): readonly RuleLine[] {
  const chains = routerChains(config);
  return CHAIN_NAMES.flatMap((chain) => [
    ...chains[chain].rules.map((rule) => ({ chain, rule: printRule(rule), vassal: null })),
    { chain, rule: 'policy', vassal: null },
  ]);
}

function ownLines(vassal: string, rules: readonly DeviceRule[]): readonly RuleLine[] {
  return rules.map((rule) => ({ chain: rule.chain, rule: printRule(rule), vassal }));
}

/** Those of all vassals that have denied anything. */
function ownRules({ members, status }: NetworkSource): readonly RuleStatus[] {
  const denials = (status?.denials ?? []).filter(({ vassal }) => vassal !== null);
  const deniers = new Set(denials.map(({ vassal }) => vassal));
  const lines = members
    .filter(({ name }) => deniers.has(name))
    .flatMap(({ name, rules }) => ownLines(name, rules));
  return rulesOf(lines, denials).filter(({ denied }) => denied > 0);
}

function denialsFor(status: RouterStatus | null, vassal: string | null): readonly Denials[] {
  return (status?.denials ?? []).filter((denials) => denials.vassal === vassal);
}

/** A rule that stands in a chain twice counts where it stands first, which is where it decides. */
function rulesOf(lines: readonly RuleLine[], denials: readonly Denials[]): readonly RuleStatus[] {
  const keyOf = ({ chain, rule, vassal }: RuleLine) => `${chain} ${rule} ${vassal ?? ''}`;
  const counts = new Map(denials.map((one) => [keyOf(one), one.count]));
  const inForce = new Map(lines.map((line) => [keyOf(line), line]));
  return [
    ...[...inForce].map(([key, line]) => ({
      ...line,
      denied: counts.get(key) ?? 0,
      inForce: true,
    })),
    ...denials
      .filter((one) => !inForce.has(keyOf(one)))
      .map(({ count, ...line }) => ({ ...line, denied: count, inForce: false })),
  ];
}
