/** The routes of the host, and whether the network of the vassals is in the way of one. */

import { parseToolJson, type Run } from '../base/run-tool.ts';
import type { Family } from '../firewall/address.ts';
import { networkOf, overlaps, type Prefix, parseCidr, printPrefix } from '../firewall/prefix.ts';

export interface HostRoute {
  readonly network: Prefix;
  readonly device: string;
}

/** All tables of both families. Throws `exec-failed`. */
export async function readHostRoutes(run: Run): Promise<readonly HostRoute[]> {
  const [four, six] = await Promise.all(
    (['-4', '-6'] as const).map((family) =>
      run(['ip', family, '-j', 'route', 'show', 'table', 'all']),
    ),
  );
  return [
    ...parseRoutes(parseToolJson(four ?? ''), 4),
    ...parseRoutes(parseToolJson(six ?? ''), 6),
  ];
}

/** Reads the output of `ip -j route`. What leads to no device (unreachable, blackhole) is no route here. Pure. */
export function parseRoutes(json: unknown, family: Family): readonly HostRoute[] {
  if (!Array.isArray(json)) return [];
  return json.flatMap((each: unknown) => {
    const { dst, dev, nexthops } = (each ?? {}) as Readonly<Record<string, unknown>>;
    const hop: unknown = Array.isArray(nexthops) ? nexthops[0] : undefined;
    const device = dev ?? (hop as { dev?: unknown } | undefined)?.dev;
    const network = typeof dst === 'string' ? parseNetwork(dst, family) : undefined;
    return network && typeof device === 'string' ? [{ network, device }] : [];
  });
}

function parseNetwork(text: string, family: Family): Prefix | undefined {
  if (text === 'default') return undefined;
  const cidr = parseCidr({ text, offset: 0 });
  if ('fault' in cidr || cidr.address.family !== family) return undefined;
  return networkOf(cidr);
}

/** Halves of everything, which VPNs use for a default route, do not count either. */
const LONGEST_DEFAULT = 1;

/**
 * Returns a route of another device than ours (`devices`) that has addresses in common with `pool`; undefined where
 * there is none. Default routes do not count. Pure.
 */
export function overlapWith(
  pool: Prefix,
  {
    routes,
    devices,
  }: { readonly routes: readonly HostRoute[]; readonly devices: readonly string[] },
): HostRoute | undefined {
  return routes.find(
    ({ network, device }) =>
      !devices.includes(device) &&
      network.length > LONGEST_DEFAULT &&
      network.family === pool.family &&
      overlaps(network, pool),
  );
}

/** The sentence about what overlapWith() found for the network of `option`. */
export function overlapText(option: string, pool: Prefix, { network, device }: HostRoute): string {
  return (
    `Cannot use ${option} ${printPrefix(pool)}: the host has a route to ${printPrefix(network)} by ${device}; ` +
    'take a network that nobody uses here, such as one of 100.64.0.0/10'
  );
}
