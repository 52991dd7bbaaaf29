/** A Governor of three vassals for tests of what stands on top of it: API and CLI. Nothing runs. */
import { EmperorError } from '../../src/base/errors.ts';
import type {
  CronJobStatus,
  EmperorEvent,
  EmperorStats,
  Governor,
  NetworkStatus,
  RouterStats,
  RuleStatus,
  VassalNetworkStatus,
  VassalState,
  VassalStatus,
} from '../../src/emperor/governor.ts';
import { VASSAL_STATES } from '../../src/emperor/governor.ts';
import { NO_TRAFFIC, type Traffic } from '../../src/router/counters.ts';

export function vassalStatus(name: string, changes: Partial<VassalStatus> = {}): VassalStatus {
  return {
    name,
    state: 'running',
    pid: 4242,
    generation: 1,
    startedAt: '2026-01-02T03:04:05.000Z',
    ready: true,
    distro: 'bookworm',
    hostname: name,
    uid: 200_000,
    gid: 200_000,
    address: null,
    address6: null,
    restarts: 0,
    failures: 0,
    nextAttemptAt: null,
    lastExit: null,
    lastError: null,
    processes: [],
    daemons: [],
    crontab: null,
    limits: {},
    dailyCpu: null,
    unmetLimits: [],
    alarms: [],
    home: null,
    usage: { memoryBytes: null, cpuSeconds: null, pids: null },
    network: null,
    config: {
      file: `/vassals/${name}.ini`,
      sha256: 'a'.repeat(64),
      appliedSha256: 'a'.repeat(64),
      valid: true,
      diagnostics: [],
    },
    ...changes,
  };
}

export function cronJobStatus(vassal: string, changes: Partial<CronJobStatus> = {}): CronJobStatus {
  return {
    vassal,
    option: 'cron',
    line: null,
    schedule: '*/5 * * * *',
    timezone: 'UTC',
    command: 'bin/poll --quiet',
    label: 'cron-poll',
    next: '2026-01-02T03:10:00.000Z',
    heldBack: null,
    running: 0,
    waiting: false,
    runs: 12,
    failures: 1,
    last: {
      for: '2026-01-02T03:05:00.000Z',
      startedAt: '2026-01-02T03:05:00.012Z',
      endedAt: '2026-01-02T03:05:01.512Z',
      durationMs: 1500,
      code: 0,
      signal: null,
      error: null,
    },
    ...changes,
  };
}

export function emperorStats(changes: Partial<EmperorStats> = {}): EmperorStats {
  const none = Object.fromEntries(VASSAL_STATES.map((state) => [state, 0]));
  return {
    version: '1.2.3',
    pid: 1,
    startedAt: '2026-01-02T03:04:05.000Z',
    ini: '/etc/emperor/emperor.ini',
    runDir: '/run/emperor',
    stateDir: '/var/lib/emperor',
    logDir: '/var/log/emperor',
    vassals: none as Record<VassalState, number>,
    eventLoopDelayMs: { p50: 1, p99: 20, max: 30 },
    memoryRssBytes: 1024,
    cpuSeconds: 1.5,
    launcher: { pid: 2 },
    router: null,
    counters: {},
    diagnostics: [],
    conditions: [],
    ksm: { state: 'off', savedBytes: 0 },
    ...changes,
  };
}

export const ROUTER: RouterStats = {
  device: 'emperor0',
  pid: 77,
  mode: 'gso',
  reason: null,
  memoryBytes: 60 * 1024 * 1024,
  cpuSeconds: 1.5,
};

/** Totals of packets of 1 KiB. */
export function trafficOfBytes(
  rxBytes: number,
  txBytes: number,
  drops: Partial<Traffic['drops']> = {},
): Traffic {
  const all = { ...NO_TRAFFIC.drops, ...drops };
  const denied = all['denied-in'] + all['denied-out'];
  return {
    rxBytes,
    txBytes,
    rxPackets: rxBytes / 1024,
    txPackets: txBytes / 1024,
    dropped: Object.values(all).reduce((sum, one) => sum + one, 0) - denied,
    denied,
    drops: all,
  };
}

/** `blog` moved most, `shop` less. */
export function networkStatus(changes: Partial<NetworkStatus> = {}): NetworkStatus {
  const rule = (chain: 'in' | 'out', text: string, more: Partial<RuleStatus>): RuleStatus => ({
    ...{ chain, rule: text, vassal: null, denied: 0, inForce: true },
    ...more,
  });
  const traffic = trafficOfBytes(2048, 1024, { 'no-vassal': 3 });
  const vassal = { state: 'running', address: '10.0.0.2', address6: null, traffic } as const;
  return {
    router: ROUTER,
    address: '10.0.0.1/24',
    address6: 'fd00::1/64',
    pools: [{ network: '10.0.0.0/24', size: 253, used: 3 }],
    nat: 'auto',
    dns: ['9.9.9.9'],
    policy: 'allow',
    rules: [
      rule('in', 'deny 10.0.0.0/24 10.0.0.0/24', { denied: 7 }),
      rule('in', 'policy', {}),
      rule('out', 'deny 10.0.0.3 1.1.1.1', { vassal: 'blog', denied: 1 }),
      rule('out', 'deny', { denied: 4, inForce: false }),
    ],
    host: traffic,
    vassals: [
      { name: 'blog', ...vassal },
      { name: 'shop', ...vassal, address: '10.0.0.3', traffic: trafficOfBytes(1024, 0) },
    ],
    ...changes,
  };
}

export function vassalNetworkStatus(
  name: string,
  changes: Partial<VassalNetworkStatus> = {},
): VassalNetworkStatus {
  return {
    name,
    device: null,
    isAttached: false,
    address: null,
    address6: null,
    gateway: null,
    gateway6: null,
    dns: [],
    rules: [],
    traffic: null,
    ...changes,
  };
}

export interface TestGovernor extends Governor {
  /** What was asked of it, such as `stop blog`. */
  readonly orders: string[];
  /** How many listen to events now. */
  listeners(): number;
  /** Has an event happen. */
  emit(event: EmperorEvent): void;
}

/** `blog` runs, `shop` is stopped, `bad` has an invalid file; `changes` replaces single answers. */
export function testGovernor(changes: Partial<Governor> = {}): TestGovernor {
  const vassals = new Map(
    [
      vassalStatus('bad', { state: 'failed', pid: null }),
      vassalStatus('blog'),
      vassalStatus('shop', { state: 'stopped', pid: null }),
    ].map((vassal) => [vassal.name, vassal]),
  );
  const past: EmperorEvent[] = [];
  const listeners = new Set<(event: EmperorEvent) => void>();
  const orders: string[] = [];
  const known = (name: string): VassalStatus => {
    const vassal = vassals.get(name);
    if (vassal) return vassal;
    throw new EmperorError('no-such-vassal', `There is no vassal ${name}`);
  };
  return {
    orders,
    listeners: () => listeners.size,
    emit(event) {
      past.push(event);
      for (const listener of listeners) listener(event);
    },
    list: async () => [...vassals.values()],
    status: async (name) => known(name),
    act: async (name, action) => void orders.push(`${action} ${known(name).name}`),
    purge: async (name) => void orders.push(`purge ${name}`),
    wait: async () => ({ outcome: 'met', condition: 'running' }),
    plan: async () => [],
    jailPlan: (name) => ({
      name,
      generation: 1,
      hash: 'h',
      namespaces: ['fs'],
      steps: [{ op: 'seccomp', filter: Uint8Array.of(1, 2, 3) }],
    }),
    text: (name) => ({ file: known(name).config.file, text: '[vassal]\n' }),
    resolved: () => [{ key: 'hostname', value: 'blog', origin: 'built-in default' }],
    execTarget: () => ({
      program: '/p',
      socket: '/s',
      cwd: '/',
      env: [],
      shell: '/bin/sh',
      home: '/home/blog',
    }),
    events: (since) => past.filter(({ at }) => since === undefined || at >= since),
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    distros: async () => [],
    stats: async () => emperorStats(),
    cronJobs: (name) => [cronJobStatus(name === undefined ? 'blog' : known(name).name)],
    network: async () => null,
    vassalNetwork: async (name) => vassalNetworkStatus(known(name).name),
    checkFirewall: async (questions) =>
      questions.map(() => ({ verdict: 'allow', decisions: [] }) as const),
    rescan: async () => void orders.push('rescan'),
    forgive: () => void orders.push('forgive'),
    shutdown: async ({ stopVassals }) => void orders.push(`shutdown ${stopVassals}`),
    ...changes,
  };
}
