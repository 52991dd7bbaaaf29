/** The emperor's figures in Prometheus' text format 0.0.4. Pure. */
import type {
  CronJobStatus,
  EmperorStats,
  NetworkStatus,
  VassalStatus,
} from '../emperor/governor.ts';

type Traffic = NetworkStatus['vassals'][number]['traffic'];

export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

interface Sample {
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}

interface Metric {
  readonly name: string;
  readonly type: 'gauge' | 'counter';
  readonly help: string;
  readonly samples: readonly Sample[];
}

/** `network` is null where there is none. */
export function renderMetrics(
  stats: EmperorStats,
  vassals: readonly VassalStatus[],
  {
    network = null,
    cron = [],
  }: {
    readonly network?: NetworkStatus | null;
    readonly cron?: readonly CronJobStatus[];
  } = {},
): string {
  return [
    ...emperorMetrics(stats),
    ...vassalMetrics(vassals),
    ...cronMetrics(cron),
    ...(network ? [...routerMetrics(network), ...trafficMetrics(network)] : []),
  ]
    .map(renderMetric)
    .join('');
}

function emperorMetrics(stats: EmperorStats): readonly Metric[] {
  const { eventLoopDelayMs } = stats;
  const quantile = (text: string, ms: number) => ({
    labels: { quantile: text },
    value: ms / 1000,
  });
  return [
    gauge('emperor_info', 'Version of the emperor.', [
      { labels: { version: stats.version }, value: 1 },
    ]),
    gauge('emperor_start_time_seconds', 'When the emperor started, seconds since 1970.', [
      { value: Date.parse(stats.startedAt) / 1000 },
    ]),
    gauge(
      'emperor_vassals',
      'Vassals by state.',
      Object.entries(stats.vassals).map(([state, value]) => ({ labels: { state }, value })),
    ),
    gauge('emperor_event_loop_delay_seconds', 'Delay of the event loop since the start.', [
      quantile('0.5', eventLoopDelayMs.p50),
      quantile('0.99', eventLoopDelayMs.p99),
      quantile('1', eventLoopDelayMs.max),
    ]),
    gauge('emperor_resident_memory_bytes', 'Resident memory of the emperor.', [
      { value: stats.memoryRssBytes },
    ]),
    counter('emperor_cpu_seconds_total', 'Processor time of the emperor.', [
      { value: stats.cpuSeconds },
    ]),
    gauge('emperor_launcher_up', 'Whether a launcher runs.', [
      { value: stats.launcher.pid === null ? 0 : 1 },
    ]),
    gauge(
      'emperor_ksm_saved_bytes',
      'Memory that is saved since the kernel keeps equal pages once, on a machine where it does.',
      stats.ksm.state === 'on' ? [{ value: stats.ksm.savedBytes }] : [],
    ),
    gauge('emperor_conditions', 'Conditions that an operator should know.', [
      { value: stats.conditions.length },
    ]),
    gauge('emperor_ini_valid', 'Whether emperor.ini as it is on disk is valid.', [
      { value: stats.diagnostics.some(({ severity }) => severity === 'error') ? 0 : 1 },
    ]),
    counter(
      'emperor_events_total',
      'What happened, by kind; `emperor events` shows it.',
      Object.entries(stats.counters).map(([event, value]) => ({ labels: { event }, value })),
    ),
  ];
}

function vassalMetrics(vassals: readonly VassalStatus[]): readonly Metric[] {
  const each = (value: (vassal: VassalStatus) => number): readonly Sample[] =>
    vassals.map((vassal) => ({ labels: { vassal: vassal.name }, value: value(vassal) }));
  const used = (value: (vassal: VassalStatus) => number | null): readonly Sample[] =>
    vassals.flatMap((vassal) => {
      const found = value(vassal);
      return found === null ? [] : [{ labels: { vassal: vassal.name }, value: found }];
    });
  return [
    gauge(
      'emperor_vassal_up',
      'Whether the vassal runs.',
      each(({ state }) => Number(state === 'running')),
    ),
    gauge(
      'emperor_vassal_config_valid',
      'Whether its file as it is on disk is valid.',
      each(({ config }) => Number(config.valid)),
    ),
    counter(
      'emperor_vassal_restarts_total',
      'How often it was started again.',
      each(({ restarts }) => restarts),
    ),
    gauge(
      'emperor_vassal_failures',
      'Failures in a row; 0 once it is healthy.',
      each(({ failures }) => failures),
    ),
    gauge(
      'emperor_vassal_generation',
      'Applied changes.',
      each(({ generation }) => generation),
    ),
    gauge(
      'emperor_vassal_memory_bytes',
      'Memory of all that runs in it, cached files among it.',
      used(({ usage }) => usage.memoryBytes),
    ),
    counter(
      'emperor_vassal_cpu_seconds_total',
      'Processor time of all that ran in it since it was started.',
      used(({ usage }) => usage.cpuSeconds),
    ),
    gauge(
      'emperor_vassal_daily_cpu_seconds',
      'Processor time that it has used since midnight, of those with `daily-cpu`.',
      used(({ dailyCpu }) => dailyCpu?.usedSeconds ?? null),
    ),
    gauge(
      'emperor_vassal_daily_cpu_spent',
      'Whether it has used its `daily-cpu`, and gets what others leave.',
      used(({ dailyCpu }) => dailyCpu && Number(dailyCpu.isSpent)),
    ),
    gauge(
      'emperor_vassal_pids',
      'Processes and threads in it.',
      used(({ usage }) => usage.pids),
    ),
    gauge(
      'emperor_vassal_home_bytes',
      'What its home holds.',
      used(({ home }) => home?.bytes ?? null),
    ),
    gauge(
      'emperor_vassal_home_size_bytes',
      'What its home can hold.',
      used(({ home }) => home?.sizeBytes ?? null),
    ),
    gauge(
      'emperor_vassal_home_inodes',
      'Files and directories in its home.',
      used(({ home }) => home?.inodes ?? null),
    ),
    gauge(
      'emperor_vassal_home_inodes_max',
      'How many files and directories its home can hold.',
      used(({ home }) => home?.inodesMax ?? null),
    ),
    counter(
      'emperor_vassal_oom_kills_total',
      'Processes that the kernel has killed in it for memory since it was started.',
      each(({ alarms }) => alarms.find(({ kind }) => kind === 'oom')?.count ?? 0),
    ),
  ];
}

function routerMetrics({ router, rules, pools }: NetworkStatus): readonly Metric[] {
  const known = (value: number | null) => (value === null ? [] : [{ value }]);
  return [
    gauge('emperor_router_up', 'Whether a router runs.', [{ value: router.pid === null ? 0 : 1 }]),
    gauge(
      'emperor_router_info',
      'Whether it takes large packets whole (gso) or not (plain).',
      router.mode === null
        ? []
        : [{ labels: { device: router.device, mode: router.mode }, value: 1 }],
    ),
    gauge(
      'emperor_router_resident_memory_bytes',
      'Resident memory of the router.',
      known(router.memoryBytes),
    ),
    counter(
      'emperor_router_cpu_seconds_total',
      'Processor time of the router.',
      known(router.cpuSeconds),
    ),
    counter(
      'emperor_firewall_denied_packets_total',
      "Packets that a rule denied; `vassal` is empty for one of the router's chains.",
      rules.map(({ chain, rule, vassal, denied }) => ({
        labels: { chain, rule, vassal: vassal ?? '' },
        value: denied,
      })),
    ),
    gauge(
      'emperor_network_addresses',
      'Addresses for vassals.',
      pools.map(({ network, size }) => ({ labels: { network }, value: size })),
    ),
    gauge(
      'emperor_network_addresses_used',
      'Addresses that are some vassal’s.',
      pools.map(({ network, used }) => ({ labels: { network }, value: used })),
    ),
  ];
}

function trafficMetrics({ vassals }: NetworkStatus): readonly Metric[] {
  const each = (value: (traffic: Traffic) => number): readonly Sample[] =>
    vassals.map(({ name, traffic }) => ({ labels: { vassal: name }, value: value(traffic) }));
  const received = 'that the vassal received';
  const sent = 'that the vassal sent and somebody took';
  return [
    counter(
      'emperor_vassal_network_receive_bytes_total',
      `Bytes ${received}.`,
      each(({ rxBytes }) => rxBytes),
    ),
    counter(
      'emperor_vassal_network_receive_packets_total',
      `Packets ${received}.`,
      each(({ rxPackets }) => rxPackets),
    ),
    counter(
      'emperor_vassal_network_transmit_bytes_total',
      `Bytes ${sent}.`,
      each(({ txBytes }) => txBytes),
    ),
    counter(
      'emperor_vassal_network_transmit_packets_total',
      `Packets ${sent}.`,
      each(({ txPackets }) => txPackets),
    ),
    counter(
      'emperor_vassal_network_drop_packets_total',
      'Packets that went no further, by reason; those there were.',
      vassals.flatMap(({ name, traffic }) =>
        Object.entries(traffic.drops)
          .filter(([, value]) => value > 0)
          .map(([reason, value]) => ({ labels: { vassal: name, reason }, value })),
      ),
    ),
  ];
}

/** Over the jobs of each vassal; what was counted for a job goes with it when it is taken out of the file. */
function cronMetrics(jobs: readonly CronJobStatus[]): readonly Metric[] {
  const groups = new Map<string, CronJobStatus[]>();
  for (const job of jobs) {
    const group = groups.get(job.vassal);
    if (group) group.push(job);
    else groups.set(job.vassal, [job]);
  }
  const each = (value: (all: readonly CronJobStatus[]) => number): readonly Sample[] =>
    [...groups].map(([vassal, all]) => ({ labels: { vassal }, value: value(all) }));
  const sum = (value: (job: CronJobStatus) => number) =>
    each((all) => all.reduce((total, job) => total + value(job), 0));
  return [
    gauge(
      'emperor_cron_jobs',
      'Jobs in its file.',
      sum(() => 1),
    ),
    gauge(
      'emperor_cron_running',
      'Runs of jobs just now.',
      sum(({ running }) => running),
    ),
    gauge(
      'emperor_cron_runs',
      'Runs of its present jobs so far.',
      sum(({ runs }) => runs),
    ),
    gauge(
      'emperor_cron_failures',
      'Runs of its present jobs that failed.',
      sum(({ failures }) => failures),
    ),
    gauge(
      'emperor_cron_last_duration_seconds',
      'The longest last run among its jobs.',
      each((all) => Math.max(...all.map(({ last }) => last?.durationMs ?? 0)) / 1000),
    ),
  ];
}

function gauge(name: string, help: string, samples: readonly Sample[]): Metric {
  return { name, help, samples, type: 'gauge' };
}

function counter(name: string, help: string, samples: readonly Sample[]): Metric {
  return { name, help, samples, type: 'counter' };
}

function renderMetric({ name, type, help, samples }: Metric): string {
  if (samples.length === 0) return '';
  const lines = samples.map(({ labels, value }) => `${name}${renderLabels(labels)} ${value}`);
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines, ''].join('\n');
}

function renderLabels(labels: Sample['labels']): string {
  if (!labels) return '';
  const pairs = Object.entries(labels).map(([key, value]) => `${key}="${escapeLabel(value)}"`);
  return `{${pairs.join(',')}}`;
}

function escapeLabel(value: string): string {
  return value.replaceAll(/[\\"\n]/g, (char) => (char === '\n' ? '\\n' : `\\${char}`));
}
