/**
 * The nftables table of one router, as text for `nft -f` (nft(8)). Pure.
 *
 * What vassals send out leaves with the host's address. What comes from outside reaches them only as an answer,
 * or where the operator's own rules forward a port (DNAT). Between our devices nothing is changed: the routers'
 * own firewall decides there. What other tables drop by their policy (Docker, ufw) is for preflight.ts to find.
 */
import { strict as assert } from 'node:assert';
import type { Nat } from '../config/kinds/devices.ts';
import type { NatDeny } from '../config/kinds/firewall.ts';
import { type Prefix, printPrefix } from '../firewall/prefix.ts';

export interface NatSpec {
  /** The router's device; the table is named after it. */
  readonly device: string;
  /** Further devices of ours: those of uWSGI's own vassals. */
  readonly otherDevices: readonly string[];
  /** The networks of the vassals, of both families and all devices. */
  readonly pools: readonly Prefix[];
  /** `auto`: packets may leave by every device that is not ours. */
  readonly uplink: Exclude<Nat, 'off'>;
  readonly deny: readonly NatDeny[];
}

/**
 * Returns the transaction that makes the table, or replaces what is in it. The base chains stay: a packet that met the
 * new one before the change and the old one after it would be judged by neither. Sets stand in the rules for the same
 * reason: a rule and its set change together.
 */
export function natTable(spec: NatSpec): string {
  const name = tableName(spec.device);
  const devices = [spec.device, ...spec.otherDevices];
  const ours = deviceSet(devices);
  const { uplink } = spec;
  const away = uplink === 'auto' ? `!= ${deviceSet(['lo', ...devices])}` : quoted(uplink.device);
  return `add table inet ${name}
flush table inet ${name}
table inet ${name} {
	chain closed_places {${lines(spec.deny.filter(isPlace).map(denial))}
	}
	chain from_vassals {${lines([
    ...spec.deny.map(denial),
    ...pools(
      spec,
      (ip, pool) => `${ip} saddr ${pool} oifname ${away} ct state invalid counter drop`,
    ),
  ])}
	}
	chain to_vassals {${lines([
    `iifname ${ours} return`,
    'ct state established,related accept',
    'ct status dnat accept comment "the operator forwards a port"',
    ...pools(spec, (ip, pool) => `${ip} daddr ${pool} counter drop`),
  ])}
	}
	chain prerouting {
		type filter hook prerouting priority dstnat - 10; policy accept;${lines([
      `iifname ${ours} jump closed_places`,
    ])}
	}
	chain forward {
		type filter hook forward priority filter; policy accept;${lines([
      `iifname ${ours} jump from_vassals`,
      `oifname ${ours} jump to_vassals`,
    ])}
	}
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;${lines(
      pools(
        spec,
        (ip, pool) => `${ip} saddr ${pool} ${ip} daddr != ${pool} oifname ${away} masquerade`,
      ),
    )}
	}
}
`;
}

/** Returns the transaction that removes the table, whether it is there or not. */
export function dropTable(device: string): string {
  const name = tableName(device);
  return `add table inet ${name}\ndelete table inet ${name}\n`;
}

/** `emperor_` and the device; what nft does not take in a name stands as its code. */
export function tableName(device: string): string {
  const plain = device.replaceAll(
    /[^A-Za-z0-9]/g,
    (char) => `_${char.charCodeAt(0).toString(16)}_`,
  );
  return `emperor_${plain}`;
}

function lines(rules: readonly string[]): string {
  return rules.map((rule) => `\n\t\t${rule}`).join('');
}

/** Closed before any DNAT, too: the host may answer there itself, or send on to who does. */
function isPlace(item: NatDeny): boolean {
  return 'network' in item;
}

function denial(item: NatDeny): string {
  if ('protocol' in item) return `${item.protocol} dport ${item.port} counter drop`;
  return `${wordOf(item.network)} daddr ${printPrefix(item.network)} counter drop`;
}

/** One rule for each family that has pools. */
function pools({ pools }: NatSpec, rule: (ip: string, pool: string) => string): readonly string[] {
  return ([4, 6] as const).flatMap((family) => {
    const [first, ...more] = pools.filter((pool) => pool.family === family);
    if (!first) return [];
    const texts = [first, ...more].map(printPrefix).join(', ');
    return [rule(wordOf(first), `{ ${texts} }`)];
  });
}

function wordOf({ family }: Prefix): 'ip' | 'ip6' {
  return family === 4 ? 'ip' : 'ip6';
}

function deviceSet(devices: readonly string[]): string {
  return `{ ${[...new Set(devices)].map(quoted).join(', ')} }`;
}

/** A name of a device, which configuration has checked; a `*` would mean many of them to nft. */
function quoted(device: string): string {
  assert(/^[^\s"\\*/]{1,15}$/.test(device), `${device} is no name of a device`);
  return `"${device}"`;
}
