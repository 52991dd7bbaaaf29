/** NAT of the host for vassals: the table is put and dropped by nft, forwarding is switched on. */
import { EmperorError } from '../base/errors.ts';
import type { Run } from '../base/run-tool.ts';
import { dropTable, type NatSpec, natTable } from './nat-table.ts';

/** Makes the table or replaces it, at once for every packet. Throws `exec-failed` and `not-supported`. */
export async function putNat(run: Run, spec: NatSpec): Promise<void> {
  await run(['nft', '-f', '-'], natTable(spec));
}

/** Removes the table of the router with that device, if it is there. Throws `exec-failed`. */
export async function dropNat(run: Run, device: string): Promise<void> {
  try {
    await run(['nft', '-f', '-'], dropTable(device));
  } catch (error) {
    // Without nft there is none of ours.
    if (!(error instanceof EmperorError) || error.code !== 'not-supported') throw error;
  }
}

/** A file below /proc/sys/net and what is to be written there. */
export interface SettingChange {
  readonly path: string;
  readonly value: string;
}

export interface ForwardingNeed {
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  /** Devices of ours, which hear no router advertisements. */
  readonly devices: readonly string[];
}

/**
 * Switches forwarding on, for this network namespace, and leaves it on: others may count on it by then. Returns what
 * was changed, as sysctl(8) writes it: `net.ipv4.ip_forward = 1`.
 */
export async function enableForwarding(run: Run, need: ForwardingNeed): Promise<readonly string[]> {
  const changes = forwardingChanges(await readSettings(run), need);
  for (const { path, value } of changes) await run(['tee', `/proc/sys/net/${path}`], value);
  return changes.map(({ path, value }) => `net.${path.replaceAll('/', '.')} = ${value}`);
}

/**
 * What is to be written, in this order: `settings` are the files below /proc/sys/net by path. A host that forwards
 * IPv6 takes no router advertisements, unless accept_ra is 2: it would lose its own default route. Pure.
 */
export function forwardingChanges(
  settings: ReadonlyMap<string, string>,
  need: ForwardingNeed,
): readonly SettingChange[] {
  const changes: SettingChange[] = [];
  if (need.ipv4 && settings.get('ipv4/ip_forward') === '0') {
    changes.push({ path: 'ipv4/ip_forward', value: '1' });
  }
  if (!need.ipv6 || settings.get('ipv6/conf/all/forwarding') !== '0') return changes;
  for (const [path, value] of settings) {
    const device = /^ipv6\/conf\/(.+)\/accept_ra$/.exec(path)?.[1];
    if (device === undefined || value !== '1') continue;
    if (['all', 'default', 'lo', ...need.devices].includes(device)) continue;
    changes.push({ path, value: '2' });
  }
  return [...changes, { path: 'ipv6/conf/all/forwarding', value: '1' }];
}

/** The shell lists and reads in the namespace that `run` runs in; without IPv6 there are fewer files. */
async function readSettings(run: Run): Promise<ReadonlyMap<string, string>> {
  const files = 'ipv4/ip_forward ipv6/conf/all/forwarding ipv6/conf/*/accept_ra';
  const script = `cd /proc/sys/net && for f in ${files}; do test -e "$f" && echo "$f=$(cat "$f")"; done; true`;
  const lines = (await run(['sh', '-c', script])).split('\n');
  return new Map(
    lines.flatMap((line) => {
      const at = line.lastIndexOf('=');
      return at < 0 ? [] : [[line.slice(0, at), line.slice(at + 1)] as const];
    }),
  );
}
