/**
 * What the emperor offers to its API: the shapes of interfaces.md and the calls behind the routes. No code
 * here, only the contract between emperor/ and api/.
 */
import type { Diagnostic, ErrorCode } from '../base/errors.ts';
import type { Unmet, Usage } from '../cgroup/controllers.ts';
import type { ChangeCost } from '../config/change-cost.ts';
import type { Action, ChainName } from '../firewall/rule.ts';
import type { JailPlan } from '../jail/plan.ts';
import type { Ksm } from '../linux/ksm.ts';
import type { Traffic } from '../router/counters.ts';
import type { PacketMode } from '../router/self-test.ts';
import type { Alarm } from '../vassal/alarms.ts';
import type { DaemonState } from '../vassal/daemon-process.ts';
import type { VassalState } from '../vassal/state.ts';
import type { HomeUsage } from './home-size.ts';

export { VASSAL_STATES, type VassalState } from '../vassal/state.ts';

export type ProcessKind = 'command' | 'daemon' | 'cron' | 'session' | 'exec';

export interface LastExit {
  readonly code: number | null;
  readonly signal: string | null;
  readonly reason: 'exit' | 'signal' | 'oom' | 'killed';
  readonly at: string;
}

export interface ProcessStatus {
  /** Slot id in init, decimal. */
  readonly id: string;
  readonly kind: ProcessKind;
  readonly label: string;
  /** Host's numbering where known, else 0. */
  readonly pid: number;
  readonly state: 'running' | 'ended';
  readonly command: readonly string[];
}

export interface DaemonStatus {
  readonly label: string;
  readonly state: DaemonState;
  readonly failures: number;
  readonly nextAttemptAt: string | null;
  readonly lastError: string | null;
}

/** `emperor status NAME --json` and each element of `emperor ls --json`. Times are ISO 8601. */
export interface VassalStatus {
  readonly name: string;
  readonly state: VassalState;
  readonly pid: number | null;
  readonly generation: number;
  readonly startedAt: string | null;
  readonly ready: boolean;
  readonly distro: string | null;
  readonly hostname: string | null;
  readonly uid: number | null;
  readonly gid: number | null;
  readonly address: string | null;
  readonly address6: string | null;
  readonly restarts: number;
  readonly failures: number;
  readonly nextAttemptAt: string | null;
  readonly lastExit: LastExit | null;
  readonly lastError: string | null;
  readonly processes: readonly ProcessStatus[];
  /** The attached daemons, those too that do not run now. */
  readonly daemons: readonly DaemonStatus[];
  /** The customer's; null while it is not known, and where it does not count. */
  readonly crontab: { readonly jobs: number; readonly diagnostics: readonly Diagnostic[] } | null;
  readonly limits: Readonly<Record<string, number | string>>;
  readonly usage: Usage;
  /** Of a home with a size, while it runs. */
  readonly home: HomeUsage | null;
  /** What it has used of its `daily-cpu` today; null without. */
  readonly dailyCpu: {
    readonly budgetSeconds: number;
    readonly usedSeconds: number;
    /** It has used all, and gets what others leave. */
    readonly isSpent: boolean;
    /** The next midnight. */
    readonly renewedAt: string;
  } | null;
  /** Limits that are not kept, and why. */
  readonly unmetLimits: readonly Unmet[];
  /** The last time of each kind that it met a limit. */
  readonly alarms: readonly (Omit<Alarm, 'atMs'> & { readonly at: string })[];
  /** Totals until it is purged; null without a device, or where the router has never answered. */
  readonly network: Traffic | null;
  readonly config: {
    readonly file: string | null;
    readonly sha256: string | null;
    readonly appliedSha256: string | null;
    readonly valid: boolean;
    readonly diagnostics: readonly Diagnostic[];
  };
}

export const VASSAL_ACTIONS = ['start', 'stop', 'restart', 'reload', 'freeze', 'thaw'] as const;
export type VassalAction = (typeof VASSAL_ACTIONS)[number];

export const WAIT_CONDITIONS = ['running', 'ready', 'stopped', 'gone', 'applied'] as const;
export type WaitCondition = (typeof WAIT_CONDITIONS)[number];

export interface WaitRequest {
  /** Any one of them is enough. */
  readonly conditions: readonly WaitCondition[];
  /** For `applied`: this file content (hex SHA-256), else that which is on disk now. */
  readonly sha256?: string;
  readonly timeoutMs: number;
}

export type WaitResult =
  | { readonly outcome: 'met'; readonly condition: WaitCondition }
  | {
      readonly outcome: 'refused';
      readonly diagnostics: readonly Diagnostic[];
      readonly message: string;
    }
  | { readonly outcome: 'timeout'; readonly state: VassalState | null };

/** One thing that happened; `emperor events`. */
export interface EmperorEvent {
  /** Counts from 1 in one run of the emperor. */
  readonly id: number;
  readonly at: string;
  readonly event: string;
  readonly vassal?: string;
  readonly message?: string;
  readonly [field: string]: unknown;
}

/** One line of `emperor plan`. */
export interface PlannedChange {
  readonly name: string;
  readonly action: 'start' | 'stop' | 'change' | 'keep' | 'hold' | 'refuse';
  readonly cost: ChangeCost;
  readonly keys: readonly string[];
  readonly reason: string;
}

/** What `emperor exec` needs to reach init directly. */
export interface ExecTarget {
  /** The C program, to be run as `attach`. */
  readonly program: string;
  readonly socket: string;
  readonly cwd: string;
  readonly env: readonly string[];
  readonly shell: string;
  /** The home inside. */
  readonly home: string;
}

export interface ResolvedValue {
  readonly key: string;
  readonly value: string;
  /** `FILE:LINE`, `built-in default`, `vassal-set (FILE:LINE)`, `class NAME (FILE:LINE)`, … */
  readonly origin: string;
}

export interface EmperorStats {
  readonly version: string;
  readonly pid: number;
  readonly startedAt: string;
  readonly ini: string;
  readonly runDir: string;
  readonly stateDir: string;
  readonly logDir: string;
  readonly vassals: Readonly<Record<VassalState, number>>;
  readonly eventLoopDelayMs: { readonly p50: number; readonly p99: number; readonly max: number };
  readonly memoryRssBytes: number;
  readonly cpuSeconds: number;
  readonly launcher: { readonly pid: number | null };
  /** Null without a network. */
  readonly router: RouterStats | null;
  readonly counters: Readonly<Record<string, number>>;
  /** Findings about emperor.ini as it is on disk now. */
  readonly diagnostics: readonly Diagnostic[];
  readonly conditions: readonly string[];
  /** What the machine saves since equal memory is kept once. */
  readonly ksm: Ksm;
}

export interface DistroStatus {
  readonly name: string;
  readonly path: string;
  readonly prettyName: string | null;
  readonly usedBy: readonly string[];
  readonly problems: readonly string[];
}

/** The router's process; what is not known while a new one is being started is null. */
export interface RouterStats {
  /** The host's, such as emperor0. */
  readonly device: string;
  /** Null while there is none. */
  readonly pid: number | null;
  readonly mode: PacketMode | null;
  /** Why packets are handled one by one; null where they are not. */
  readonly reason: string | null;
  readonly memoryBytes: number | null;
  readonly cpuSeconds: number | null;
}

export interface PoolStatus {
  readonly network: string;
  readonly size: number;
  readonly used: number;
}

/** A rule and how often it denied. */
export interface RuleStatus {
  readonly chain: ChainName;
  /** As it is written; `policy` for what no rule speaks of. */
  readonly rule: string;
  /** Whose own rule it is; null for one of the router's chains. */
  readonly vassal: string | null;
  readonly denied: number;
  /** False for one that is no more. */
  readonly inForce: boolean;
}

/** `emperor net --json`. */
export interface NetworkStatus {
  readonly router: RouterStats;
  /** The host's own on its device, with masks. */
  readonly address: string | null;
  readonly address6: string | null;
  readonly pools: readonly PoolStatus[];
  /** `auto`, `off` or the device that leads out. */
  readonly nat: string;
  /** What vassals that name none are given. */
  readonly dns: readonly string[];
  /** What happens to packets that no rule speaks of. */
  readonly policy: Action;
  /** The router's chains in their order and what is no more of them, then own rules of vassals that have denied. */
  readonly rules: readonly RuleStatus[];
  /** From the host's point of view; null where the router has never answered. */
  readonly host: Traffic | null;
  /** All with a device, and those that are gone and not purged; who moved most bytes first. */
  readonly vassals: readonly VassalTraffic[];
}

export interface VassalTraffic {
  readonly name: string;
  /** Null for one that is gone. */
  readonly state: VassalState | null;
  readonly address: string | null;
  readonly address6: string | null;
  readonly traffic: Traffic;
}

/** `emperor net NAME --json`. */
export interface VassalNetworkStatus {
  readonly name: string;
  /** Inside; null: it has no device. */
  readonly device: string | null;
  readonly isAttached: boolean;
  readonly address: string | null;
  readonly address6: string | null;
  /** The host's addresses. */
  readonly gateway: string | null;
  readonly gateway6: string | null;
  readonly dns: readonly string[];
  /** Its own, then such that are no more. */
  readonly rules: readonly RuleStatus[];
  readonly traffic: Traffic | null;
}

/** What one chain said of a packet. */
export interface FirewallDecision {
  readonly chain: ChainName;
  readonly action: Action;
  /** The rule that decided; null for the policy. */
  readonly rule: string | null;
  /** Whose own rule it is; null for one of the router's chains. */
  readonly vassal: string | null;
}

/** The decisions stand in the order of the chains that a packet passes; the last one is the verdict. */
export type FirewallAnswer =
  | { readonly verdict: Action; readonly decisions: readonly FirewallDecision[] }
  | { readonly error: { readonly code: ErrorCode; readonly message: string } };

/** Throws EmperorError('no-such-vassal') for unknown names. */
/** A job of `cron`, `unique-cron` or `cron2`, or a line of the customer's crontab; `emperor cron ls`. Times are ISO 8601. */
export interface CronJobStatus {
  readonly vassal: string;
  readonly option: 'cron' | 'unique-cron' | 'cron2' | 'crontab';
  /** Of the crontab, from 1; null for a job of the vassal's file. */
  readonly line: number | null;
  /** As it was written. */
  readonly schedule: string;
  readonly timezone: string;
  readonly command: string;
  readonly label: string;
  /** Null for a job that waits for no time, or for one that never comes. */
  readonly next: string | null;
  /** Why it does not run now. */
  readonly heldBack: string | null;
  /** How many runs of it there are just now. */
  readonly running: number;
  /** One is due and has no room yet. */
  readonly waiting: boolean;
  readonly runs: number;
  /** Those that ended with anything but 0, or could not be started. */
  readonly failures: number;
  readonly last: {
    /** The minute that it was due in. */
    readonly for: string;
    readonly startedAt: string;
    readonly endedAt: string | null;
    readonly durationMs: number | null;
    readonly code: number | null;
    readonly signal: string | null;
    /** Why it could not be started. */
    readonly error: string | null;
  } | null;
}

export interface Governor {
  list(): Promise<readonly VassalStatus[]>;
  status(name: string): Promise<VassalStatus>;
  act(name: string, action: VassalAction): Promise<void>;
  /** Of one vassal, or of all. */
  cronJobs(name?: string): readonly CronJobStatus[];
  /** Null without a network. */
  network(): Promise<NetworkStatus | null>;
  vassalNetwork(name: string): Promise<VassalNetworkStatus>;
  /** Asks the live firewall: `[in|out] SRC DST` each. Throws `not-supported` without a network. */
  checkFirewall(questions: readonly string[]): Promise<readonly FirewallAnswer[]>;
  /** Forgets a vassal that has no file: home, logs, uid, addresses, totals. 'conflict' while it has one. */
  purge(name: string): Promise<void>;
  /** `signal`: nobody waits for the answer any more. */
  wait(name: string, request: WaitRequest, signal?: AbortSignal): Promise<WaitResult>;
  /** Differences between files on disk and what runs. */
  plan(): Promise<readonly PlannedChange[]>;
  jailPlan(name: string): JailPlan;
  /** The file as applied, and as it is on disk. */
  text(name: string): { readonly file: string | null; readonly text: string };
  resolved(name: string): readonly ResolvedValue[];
  execTarget(name: string): ExecTarget;
  /** Past events (bounded) with `at` ≥ since (ISO), oldest first. */
  events(since?: string): readonly EmperorEvent[];
  /** Calls `listener` for each new event; returns what ends it. */
  subscribe(listener: (event: EmperorEvent) => void): () => void;
  distros(): Promise<readonly DistroStatus[]>;
  stats(): Promise<EmperorStats>;
  /** Reads emperor.ini and every vassal file again. */
  rescan(): Promise<void>;
  /** Tries again at once, as if it had never failed, whatever waits after a failure or has been given up. */
  forgive(): void;
  shutdown(options: { readonly stopVassals: boolean }): Promise<void>;
}
