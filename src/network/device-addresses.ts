/** Which addresses a device of the host has, whoever gave them. */

import { parseToolJson, type Run } from '../base/run-tool.ts';
import { type Cidr, parseCidr } from '../firewall/prefix.ts';

/** The first address of each family that a device has, without link-local ones. Throws `exec-failed`. */
export async function readDeviceCidrs(
  run: Run,
  device: string,
): Promise<{ readonly cidr4: Cidr | null; readonly cidr6: Cidr | null }> {
  return parseDeviceCidrs(parseToolJson(await run(['ip', '-j', 'addr', 'show', 'dev', device])));
}

/** Reads the output of `ip -j addr show dev DEVICE`. Pure. */
export function parseDeviceCidrs(json: unknown): {
  readonly cidr4: Cidr | null;
  readonly cidr6: Cidr | null;
} {
  // At the boundary: `ip` prints a list of devices, each with its addresses.
  const [shown] = json as readonly [{ readonly addr_info?: readonly AddressInfo[] }?];
  const cidrs = (shown?.addr_info ?? [])
    .filter(({ scope }) => scope === 'global')
    .map(({ local, prefixlen }) => parseCidr({ text: `${local}/${prefixlen}`, offset: 0 }))
    .flatMap((cidr) => ('fault' in cidr ? [] : [cidr]));
  const ofFamily = (family: 4 | 6) =>
    cidrs.find(({ address }) => address.family === family) ?? null;
  return { cidr4: ofFamily(4), cidr6: ofFamily(6) };
}

interface AddressInfo {
  readonly local: string;
  readonly prefixlen: number;
  readonly scope: string;
}
