/**
 * What happens where a vassal meets its limits: the kernel kills in it for memory, or refuses it another process. Each
 * kind is kept once, with who ran at that moment, until it happens again.
 */
import { readFileSync } from 'node:fs';
import type { Clock } from '../base/clock.ts';
import type { AlarmCounts, Controllers } from '../cgroup/controllers.ts';
import type { Limits } from '../cgroup/limits.ts';
import type { Membership } from '../cgroup/membership.ts';
import type { Poller } from '../linux/poller.ts';
import { readStat } from '../linux/proc.ts';

export interface AlarmProcess {
  /** Of the host. */
  readonly pid: number;
  /** At most 15 characters, of the process's own choice. */
  readonly name: string;
  readonly memoryBytes: number;
}

export interface Alarm {
  readonly kind: 'oom' | 'pids-max';
  readonly atMs: number;
  /** How often since the vassal was started. */
  readonly count: number;
  /** Those that were left then, the largest first. */
  readonly processes: readonly AlarmProcess[];
}

export interface AlarmsHost {
  readonly clock: Clock;
  readonly poller: Poller;
  readonly membership: Membership;
  readonly controllers: Controllers;
}

/** So many are looked at, and so many of them are kept. */
const LOOKED_AT = 200;
const KEPT = 10;
/** An exit by SIGKILL so soon behind a kill for memory was that kill. */
const KILL_TOLD_WITHIN_MS = 2000;
/** Who meets a limit all the time is not told of all the time. */
const TOLD_EVERY_MS = 10_000;
const PAGE_BYTES = 4096;

export class Alarms {
  readonly #name: string;
  readonly #host: AlarmsHost;
  readonly #onAlarm: (alarm: Alarm) => void;
  #counts: AlarmCounts = { kills: 0, refusals: 0 };
  #killedAt = Number.NEGATIVE_INFINITY;
  #end: (() => void) | null = null;

  readonly #toldAt = new Map<Alarm['kind'], number>();

  /** The last of each kind. */
  readonly last = new Map<Alarm['kind'], Alarm>();

  constructor(name: string, host: AlarmsHost, onAlarm: (alarm: Alarm) => void) {
    this.#name = name;
    this.#host = host;
    this.#onAlarm = onAlarm;
  }

  /** Watches where there is a limit to be met. */
  follow({ memoryMax, pidsMax }: Limits): void {
    const isLimited = [memoryMax, pidsMax].some((limit) => typeof limit === 'number');
    if (isLimited === (this.#end !== null)) return;
    this.stop();
    if (!isLimited) return;
    // What happened before is not news.
    this.#counts = this.#host.controllers.counts(this.#name);
    this.#end = this.#host.controllers.watch(this.#name, this.#host, () => this.look());
  }

  stop(): void {
    this.#end?.();
    this.#end = null;
  }

  /** Whether the kernel has just killed for memory: what ended by SIGKILL was ended by that. */
  get hasJustKilled(): boolean {
    return this.#host.clock.monotonic() - this.#killedAt < KILL_TOLD_WITHIN_MS;
  }

  /** Finds out what has happened, without waiting to be told. */
  look(): void {
    if (this.#end === null) return;
    const before = this.#counts;
    const counts = this.#host.controllers.counts(this.#name);
    this.#counts = counts;
    if (counts.kills > before.kills) {
      this.#killedAt = this.#host.clock.monotonic();
      this.#raise('oom', counts.kills);
    }
    if (counts.refusals > before.refusals) this.#raise('pids-max', counts.refusals);
  }

  #raise(kind: Alarm['kind'], count: number): void {
    const alarm = { kind, count, atMs: this.#host.clock.now(), processes: this.#processes() };
    const toldAt = this.#toldAt.get(kind) ?? Number.NEGATIVE_INFINITY;
    const now = this.#host.clock.monotonic();
    this.last.set(kind, alarm);
    if (now - toldAt < TOLD_EVERY_MS) return;
    this.#toldAt.set(kind, now);
    this.#onAlarm(alarm);
  }

  #processes(): readonly AlarmProcess[] {
    return this.#host.membership
      .payloadPids(this.#name)
      .slice(0, LOOKED_AT)
      .flatMap(processOf)
      .sort((one, other) => other.memoryBytes - one.memoryBytes)
      .slice(0, KEPT);
  }
}

function processOf(pid: number): readonly AlarmProcess[] {
  const stat = readStat(pid);
  if (!stat) return [];
  return [{ pid, name: stat.name, memoryBytes: residentBytes(pid) }];
}

/** The second field of /proc/PID/statm (proc_pid_statm(5)); 0 of one that has just ended. */
function residentBytes(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * PAGE_BYTES;
  } catch {
    return 0;
  }
}
