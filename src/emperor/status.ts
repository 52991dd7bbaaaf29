/** The status of a vassal as interfaces.md shows it, out of what the emperor holds. */
import type { Diagnostic } from '../base/errors.ts';
import type { Usage } from '../cgroup/controllers.ts';
import { shownLimits } from '../cgroup/limits.ts';
import type { VassalConfig } from '../config/vassal-config.ts';
import type { SlotEntry } from '../jail/init-client.ts';
import type { Traffic } from '../router/counters.ts';
import type { Vassal } from '../vassal/vassal.ts';
import type { ProcessKind, ProcessStatus, VassalStatus } from './governor.ts';
import { wantedBytes } from './home-size.ts';

export interface StatusSource {
  readonly name: string;
  readonly vassal: Vassal;
  readonly identity: { readonly uid: number; readonly gid: number } | null;
  readonly file: string | null;
  readonly sha256: string | null;
  readonly diagnostics: readonly Diagnostic[];
  readonly processes: readonly ProcessStatus[];
  readonly address: string | null;
  readonly address6: string | null;
  readonly usage: Usage;
  readonly home: VassalStatus['home'];
  readonly network: Traffic | null;
  readonly crontab: VassalStatus['crontab'];
}

export function statusOf(source: StatusSource): VassalStatus {
  const { vassal } = source;
  const config: VassalConfig | undefined = vassal.applied?.config ?? vassal.wanted?.config;
  return {
    name: source.name,
    state: vassal.state,
    pid: vassal.jail?.pid ?? null,
    generation: vassal.applied?.generation ?? 0,
    startedAt: iso(vassal.jail?.startedAtMs ?? null),
    ready: vassal.isReady,
    distro: config?.distro ?? null,
    hostname: config?.hostname ?? null,
    uid: source.identity?.uid ?? null,
    gid: source.identity?.gid ?? null,
    address: source.address,
    address6: source.address6,
    restarts: vassal.restarts,
    failures: vassal.failures,
    nextAttemptAt: iso(vassal.nextAttemptAtMs),
    lastExit: lastExitOf(vassal),
    lastError: vassal.lastError,
    processes: source.processes,
    daemons: vassal.daemons.map((daemon) => ({
      label: daemon.label,
      state: daemon.state,
      failures: daemon.failures,
      nextAttemptAt: iso(daemon.nextAttemptAtMs),
      lastError: daemon.lastError,
    })),
    crontab: source.crontab,
    limits: config ? limitsOf(config) : {},
    usage: source.usage,
    home: source.home,
    dailyCpu: dailyCpuOf(vassal),
    unmetLimits: vassal.unmet,
    alarms: vassal.alarms.map(({ atMs, ...alarm }) => ({ ...alarm, at: isoOf(atMs) })),
    network: source.network,
    config: {
      file: source.file,
      sha256: source.sha256,
      appliedSha256: vassal.applied?.sha256 ?? null,
      valid: !source.diagnostics.some(({ severity }) => severity === 'error'),
      diagnostics: source.diagnostics,
    },
  };
}

function limitsOf(config: VassalConfig): VassalStatus['limits'] {
  const homeBytes = wantedBytes(config.homeSize);
  return { ...shownLimits(config), ...(homeBytes === null ? {} : { 'home-size': homeBytes }) };
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString();
}

function dailyCpuOf({ dailyCpu }: Vassal): VassalStatus['dailyCpu'] {
  if (!dailyCpu) return null;
  const { budgetMs, usedMs, isSpent, renewedAtMs } = dailyCpu;
  return {
    budgetSeconds: budgetMs / 1000,
    usedSeconds: usedMs / 1000,
    isSpent,
    renewedAt: isoOf(renewedAtMs),
  };
}

function lastExitOf(vassal: Vassal): VassalStatus['lastExit'] {
  if (!vassal.lastExit) return null;
  const { code, signal, reason, atMs } = vassal.lastExit;
  return { code, signal, reason, at: isoOf(atMs) };
}

/** A slot of init as `processes` shows it; `hostPids` maps the vassal's pids to the host's. */
export function processStatusOf(
  slot: SlotEntry,
  hostPids: ReadonlyMap<number, number>,
): ProcessStatus {
  return {
    id: String(slot.slot),
    kind: slot.kind as ProcessKind,
    label: slot.label,
    pid: hostPids.get(slot.pid) ?? 0,
    state: slot.state === 'ended' ? 'ended' : 'running',
    command: slot.argv,
  };
}

function iso(ms: number | null): string | null {
  return ms === null ? null : isoOf(ms);
}
