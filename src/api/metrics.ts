/** The emperor's figures in Prometheus' text format 0.0.4. Pure. */
import type { EmperorStats, VassalStatus } from '../emperor/governor.ts';

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

export function renderMetrics(stats: EmperorStats, vassals: readonly VassalStatus[]): string {
  return [...emperorMetrics(stats), ...vassalMetrics(vassals)].map(renderMetric).join('');
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
