/** How the network looks to people. Pure. */
import { formatBytes } from '../base/units.ts';
import type {
  NetworkStatus,
  RouterStats,
  RuleStatus,
  VassalNetworkStatus,
  VassalStatus,
} from '../emperor/governor.ts';
import { type Paint, painter } from './paint.ts';
import { printable } from './printable.ts';
import { type Column, renderTable, type TableStyle } from './table.ts';
import type { RatedNetwork, RatedVassal } from './traffic-rates.ts';

export type Traffic = NonNullable<VassalStatus['network']>;

export interface NetworkLook {
  /** How many vassals are shown. */
  readonly top: number;
  readonly style?: TableStyle;
}

export function renderNetwork(network: RatedNetwork, { top, style }: NetworkLook): string {
  const paint = style?.paint ?? painter(false);
  const shown = network.vassals.slice(0, top);
  const more = network.vassals.length - shown.length;
  return [
    renderFacts(factsOf(network), paint),
    renderTable(network.rules, ruleColumns(network), style),
    network.vassals.length === 0 ? '' : renderTable(shown, vassalColumns(shown), style),
    more > 0 && top > 0 ? `${more} more: --top ${network.vassals.length}\n` : '',
  ]
    .filter((part) => part !== '')
    .join('\n');
}

export function renderVassalNetwork(
  network: VassalNetworkStatus,
  paint: Paint = painter(false),
): string {
  const { name, device, isAttached, address, address6, gateway, gateway6, dns, traffic } = network;
  if (device === null) return `${name} has no device: no network but loopback\n`;
  const facts = renderFacts(
    [
      ['device', `${device}, ${isAttached ? 'attached' : 'not attached'}`],
      ['address', listText([address, address6])],
      ['gateway', listText([gateway, gateway6])],
      ['dns', listText(dns)],
      ...trafficFacts(traffic),
    ],
    paint,
  );
  const rules = network.rules.length === 0 ? '' : `\n${renderTable(network.rules, ruleColumns())}`;
  return `${paint('dim', name)}\n${facts}${rules}`;
}

/** `pid 12, gso, 60.1M, 0.52 s cpu`. */
export function routerText({ pid, mode, reason, memoryBytes, cpuSeconds }: RouterStats): string {
  if (pid === null) return 'none: a new one is being started';
  const how = mode === 'plain' ? `plain packets (${reason})` : 'large packets whole (gso)';
  return [
    `pid ${pid}`,
    how,
    ...(memoryBytes === null ? [] : [formatBytes(memoryBytes)]),
    ...(cpuSeconds === null ? [] : [`${cpuSeconds.toFixed(2)} s cpu`]),
  ].join(', ');
}

/** `received`, `sent`, `dropped` and `denied` of a vassal or of the host. */
export function trafficFacts(
  traffic: Traffic | null,
  words = { received: 'received', sent: 'sent' },
): readonly Fact[] {
  if (traffic === null) return [];
  const { rxBytes, rxPackets, txBytes, txPackets, dropped, denied, drops } = traffic;
  const isDenial = (reason: string) => reason.startsWith('denied-');
  const reasons = (isWanted: (reason: string) => boolean) => {
    const found = Object.entries(drops).filter(([reason, count]) => count > 0 && isWanted(reason));
    return found.length === 0
      ? ''
      : `: ${found.map(([reason, count]) => `${reason} ${count}`).join(', ')}`;
  };
  return [
    [words.received, `${formatBytes(rxBytes)}, ${rxPackets} packets`],
    [words.sent, `${formatBytes(txBytes)}, ${txPackets} packets`],
    ['dropped', `${dropped}${reasons((reason) => !isDenial(reason))}`],
    ['denied', `${denied}${reasons(isDenial)}`],
  ];
}

type Fact = readonly [key: string, value: string];

function renderFacts(facts: readonly Fact[], paint: Paint): string {
  return facts
    .map(([key, value]) => `${paint('dim', key.padEnd(10))} ${printable(value)}\n`)
    .join('');
}

function factsOf(network: RatedNetwork): readonly Fact[] {
  const { router, address, address6, pools, nat, dns, host } = network;
  return [
    ['router', `${router.device}, ${routerText(router)}`],
    ['address', listText([address, address6])],
    ...pools.map((pool): Fact => {
      const { network: range, size, used } = pool;
      return ['pool', `${range}: ${used} used, ${size - used} free`];
    }),
    ['nat', nat],
    ['dns', listText(dns)],
    ...trafficFacts(host, { received: 'host in', sent: 'host out' }),
  ];
}

function listText(parts: readonly (string | null)[]): string {
  return parts.filter((part) => part !== null).join(', ') || 'none';
}

function ruleColumns(network?: Pick<NetworkStatus, 'policy'>): readonly Column<RuleStatus>[] {
  const textOf = ({ rule }: RuleStatus) =>
    rule === 'policy' && network ? `policy ${network.policy}` : rule;
  return [
    { title: 'CHAIN', cell: ({ chain }) => chain },
    { title: 'DENIED', cell: ({ denied }) => String(denied), alignRight: true },
    {
      title: 'RULE',
      cell: (rule) => {
        const owner = rule.vassal === null || !network ? '' : ` (own rule of ${rule.vassal})`;
        return `${textOf(rule)}${owner}${rule.inForce ? '' : ' (no more)'}`;
      },
    },
  ];
}

function vassalColumns(vassals: readonly RatedVassal[]): readonly Column<RatedVassal>[] {
  const number = (title: string, cell: (vassal: RatedVassal) => string): Column<RatedVassal> => ({
    title,
    cell,
    alignRight: true,
  });
  const speed = (bytes: number | undefined) =>
    bytes === undefined ? '' : `${formatBytes(bytes)}/s`;
  const rates: readonly Column<RatedVassal>[] = [
    number('IN', ({ rates }) => speed(rates?.rxBytesPerSecond)),
    number('OUT', ({ rates }) => speed(rates?.txBytesPerSecond)),
  ];
  return [
    { title: 'NAME', cell: ({ name }) => name },
    { title: 'STATE', cell: ({ state }) => state ?? 'gone' },
    { title: 'ADDRESS', cell: ({ address, address6 }) => address ?? address6 ?? '-' },
    ...(vassals.some((vassal) => vassal.rates) ? rates : []),
    number('RECEIVED', ({ traffic }) => formatBytes(traffic.rxBytes)),
    number('SENT', ({ traffic }) => formatBytes(traffic.txBytes)),
    number('PACKETS', ({ traffic }) => String(traffic.rxPackets + traffic.txPackets)),
    number('DROPPED', ({ traffic }) => String(traffic.dropped)),
    number('DENIED', ({ traffic }) => String(traffic.denied)),
  ];
}
