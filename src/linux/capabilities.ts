/** Capabilities of a process as /proc shows them (capabilities(7)). */
import { readProc } from './proc.ts';

/** Bits of include/uapi/linux/capability.h. */
export const CAPABILITIES = {
  chown: 0,
  dac_override: 1,
  kill: 5,
  setgid: 6,
  setuid: 7,
  setpcap: 8,
  net_admin: 12,
  sys_chroot: 18,
  sys_ptrace: 19,
  sys_admin: 21,
  sys_resource: 24,
  mknod: 27,
  lease: 28,
} as const;

export type Capability = keyof typeof CAPABILITIES;

/** Parses the CapEff line of /proc/PID/status; undefined without one. */
export function parseEffective(status: string): bigint | undefined {
  const hex = /^CapEff:\s*([0-9a-f]{1,16})$/m.exec(status)?.[1];
  return hex === undefined ? undefined : BigInt(`0x${hex}`);
}

/** Tells which of `wanted` are missing in an effective set. */
export function missingCapabilities(
  effective: bigint,
  wanted: readonly Capability[],
): readonly Capability[] {
  return wanted.filter((name) => ((effective >> BigInt(CAPABILITIES[name])) & 1n) === 0n);
}

/** Returns the effective set of this process. */
export function effectiveCapabilities(): bigint {
  return parseEffective(readProc('/proc/self/status') ?? '') ?? 0n;
}
