/** The emperor's own figures: event-loop delay, memory, cpu, launcher. */
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { VERSION } from '../base/version.ts';
import type { EmperorStats } from './governor.ts';

export type OwnStats = Pick<
  EmperorStats,
  | 'version'
  | 'pid'
  | 'startedAt'
  | 'eventLoopDelayMs'
  | 'memoryRssBytes'
  | 'cpuSeconds'
  | 'launcher'
>;

export interface StatsSource {
  read(): OwnStats;
}

/** Resolution of the delay histogram; each tick is one timer, so an idle emperor stays idle. */
const RESOLUTION_MS = 50;

export class Stats implements StatsSource {
  readonly #delay: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  readonly #startedAt: string;
  readonly #launcherPid: () => number | null;

  constructor(options: {
    readonly startedAtMs: number;
    readonly launcherPid: () => number | null;
  }) {
    this.#startedAt = new Date(options.startedAtMs).toISOString();
    this.#launcherPid = options.launcherPid;
    this.#delay.enable();
  }

  read(): OwnStats {
    const { user, system } = process.cpuUsage();
    const beyond = (ns: number) => Math.max(0, ns / 1e6 - RESOLUTION_MS);
    return {
      version: VERSION,
      pid: process.pid,
      startedAt: this.#startedAt,
      eventLoopDelayMs: {
        p50: beyond(this.#delay.percentile(50)),
        p99: beyond(this.#delay.percentile(99)),
        max: beyond(this.#delay.max),
      },
      memoryRssBytes: process.memoryUsage.rss(),
      cpuSeconds: (user + system) / 1e6,
      launcher: { pid: this.#launcherPid() },
    };
  }

  close(): void {
    this.#delay.disable();
  }
}
