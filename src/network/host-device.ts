/** The host's end of the router, such as emperor0: its addresses, and whether they can be there. */

import type { Run } from '../base/run-tool.ts';
import { type Cidr, printCidr } from '../firewall/prefix.ts';

const MTU = 1500;
/** Packets of up to 64 KB wait here for the router; the default of 500 is little for many vassals. */
const QUEUE_LENGTH = 1000;

export interface HostDevice {
  /** It exists. */
  readonly device: string;
  /** Null: the operator's own lines set it, or there is none. */
  readonly cidr4: Cidr | null;
  readonly cidr6: Cidr | null;
}

/**
 * What comes by the device is a customer's: the host lets it neither choose its way, nor change the host's routes, nor say
 * that it is a router. The first two count against what `all` says since the host forwards.
 */
const DISTRUST: readonly (readonly [file: string, value: string])[] = [
  ['ipv4/conf/DEVICE/accept_source_route', '0'],
  ['ipv4/conf/DEVICE/accept_redirects', '0'],
  // None of ours asks for a shorter way; it would only cost.
  ['ipv4/conf/DEVICE/send_redirects', '0'],
  ['ipv6/conf/DEVICE/accept_redirects', '0'],
  ['ipv6/conf/DEVICE/accept_ra', '0'],
];

/** Brings the device up with its addresses, whatever of that was there before. Throws `exec-failed`. */
export async function setUpHostDevice(
  run: Run,
  { device, cidr4, cidr6 }: HostDevice,
): Promise<void> {
  // Without link-local addresses nothing is sent by the device that no vassal asked for.
  const lines = [
    `link set dev ${device} mtu ${MTU} txqueuelen ${QUEUE_LENGTH} addrgenmode none`,
    ...(cidr4 ? [`addr replace ${printCidr(cidr4)} dev ${device}`] : []),
    // Nobody else is on a tun who could have the address, so it is good at once.
    ...(cidr6 ? [`addr replace ${printCidr(cidr6)} dev ${device} nodad`] : []),
    `link set dev ${device} up`,
  ];
  await run(['ip', '-batch', '-'], `${lines.join('\n')}\n`);
  await distrust(run, device);
}

/** A kernel without IPv6 has not all of the files. */
async function distrust(run: Run, device: string): Promise<void> {
  const settings = DISTRUST.flatMap(([file, value]) => [file.replace('DEVICE', device), value]);
  const script =
    'cd /proc/sys/net && while [ $# -gt 0 ]; do ! [ -e "$1" ] || echo "$2" > "$1" || exit; shift 2; done';
  await run(['sh', '-c', script, 'sh', ...settings]);
}
