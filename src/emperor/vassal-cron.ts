/** The scheduler among the vassals: whose jobs there are, what they run in, and what `emperor cron ls` says of them. */
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { VassalConfig } from '../config/vassal-config.ts';
import type { Crontab } from '../cron/crontab.ts';
import type { Jail } from '../vassal/jail.ts';
import type { ForeignProcesses, Vassal } from '../vassal/vassal.ts';
import { Cron } from './cron.ts';
import { type Job, jobsOf } from './cron-jobs.ts';
import { CronJournal, type LastRun } from './cron-journal.ts';
import { isoMinute, type RunsHost } from './cron-runs.ts';
import { Crontabs } from './crontabs.ts';
import type { CronJobStatus, VassalStatus } from './governor.ts';
import type { Surroundings } from './surroundings.ts';

export interface VassalCronHost {
  readonly clock: Clock;
  readonly log: Log;
  readonly stateDirectory: string;
  readonly vassal: (name: string) => Vassal | undefined;
  /** It has no file, and runs no more. */
  readonly isForgotten: (name: string) => boolean;
  readonly surroundingsOf: (config: VassalConfig) => Pick<Surroundings, 'cwd' | 'env'>;
  /** The home inside. */
  readonly homeOf: (config: VassalConfig) => string;
  readonly note: RunsHost['note'];
  readonly writeDown: (write: () => void) => void;
}

export class VassalCron {
  readonly #host: VassalCronHost;
  readonly #journal: CronJournal;
  readonly #cron: Cron;
  readonly #crontabs: Crontabs;
  /** Whose jobs are set, with what they came from. */
  readonly #sources = new Map<string, JobSource>();
  /** Jails whose jobs of the start have been run, or were run by an earlier emperor. */
  readonly #booted = new WeakSet<Jail>();

  constructor(host: VassalCronHost) {
    this.#host = host;
    this.#journal = new CronJournal(host.stateDirectory, host.writeDown);
    const { clock, log, note } = host;
    this.#cron = new Cron({
      ...{ clock, log, note },
      journal: this.#journal,
      vassal: (name) => this.#viewOf(name),
    });
    this.#crontabs = new Crontabs({
      ...{ clock, log },
      homeOf: (name) => this.#crontabHomeOf(name),
      onChange: (name) => this.#crontabChanged(name),
    });
  }

  /** Begins to run jobs, once the vassals are known. */
  start(): void {
    // A vassal without a file any more is not waited for.
    for (const name of this.#journal.vassals()) if (this.#host.isForgotten(name)) this.gone(name);
    this.#cron.start();
  }

  close(): void {
    this.#crontabs.close();
    this.#cron.close();
  }

  /** An earlier emperor has started it. Resolves when its crontab is known, or has been waited for long enough. */
  async adopted(vassal: Vassal): Promise<void> {
    if (vassal.jail) this.#booted.add(vassal.jail);
    this.#sync(vassal);
    await new Promise<void>((resolve) => {
      const cancel = this.#host.clock.after(CRONTAB_PATIENCE_MS, resolve);
      this.#crontabs.follow(vassal).then(cancel).then(resolve);
    });
  }

  crontabChanged(vassal: Vassal): void {
    this.#crontabs.changed(vassal);
  }

  changed(vassal: Vassal, event: string): void {
    this.#sync(vassal);
    this.#cron.runs.lostJail(vassal.name);
    this.#cron.runs.wake(vassal.name);
    const { jail } = vassal;
    const isRead = this.#crontabs.follow(vassal);
    if (event !== 'started' || !jail || this.#booted.has(jail)) return;
    this.#booted.add(jail);
    isRead.then(() => vassal.jail === jail && this.#cron.booted(vassal.name));
  }

  foreign({ name, jail }: Vassal, processes: ForeignProcesses): void {
    if ('ended' in processes) this.#cron.ended(name, processes.ended);
    else if (jail) this.#cron.found(name, jail.init, processes.found);
  }

  gone(name: string): void {
    this.#sources.delete(name);
    this.#crontabs.forget(name);
    this.#cron.remove(name);
  }

  /** Null while it is not known, and where it does not count. */
  crontabOf(name: string): VassalStatus['crontab'] {
    const crontab = this.#crontabs.of(name);
    if (!crontab) return null;
    return { jobs: crontab.jobs.length, diagnostics: this.#crontabs.diagnosticsOf(name) };
  }

  statusOf(vassal: Vassal): readonly CronJobStatus[] {
    this.#sync(vassal);
    return this.#cron.agenda
      .of(vassal.name)
      .map(({ job, next }) => this.#jobStatus(vassal, job, next));
  }

  #sync(vassal: Vassal): void {
    const config = vassal.applied?.config ?? vassal.wanted?.config;
    if (!config) return;
    const crontab = this.#crontabs.of(vassal.name);
    const before = this.#sources.get(vassal.name);
    if (before?.config === config && before.crontab === crontab) return;
    this.#sources.set(vassal.name, { config, crontab });
    const areAll = crontab !== null || config.crontab === 'no';
    this.#cron.set(vassal.name, jobsOf(config, crontab), { areAll });
  }

  #crontabHomeOf(name: string): string | null {
    const vassal = this.#host.vassal(name);
    const config = vassal?.applied?.config ?? vassal?.wanted?.config;
    return config && config.crontab !== 'no' ? this.#host.homeOf(config) : null;
  }

  #crontabChanged(name: string): void {
    const vassal = this.#host.vassal(name);
    if (!vassal) return;
    const isFirst = (this.#sources.get(name)?.crontab ?? null) === null;
    this.#sync(vassal);
    const { jobs = [], findings = [] } = this.#crontabs.of(name) ?? {};
    // Most have none.
    if (isFirst && jobs.length === 0 && findings.length === 0) return;
    const errors = findings.filter(({ severity }) => severity === 'error').length;
    this.#host.note('crontab-read', { vassal: name, jobs: jobs.length, errors });
  }

  #viewOf(name: string) {
    const vassal = this.#host.vassal(name);
    const config = vassal?.applied?.config;
    if (!vassal || !config) return undefined;
    const surroundings = () => this.#host.surroundingsOf(config);
    return { state: vassal.state, init: vassal.jail?.init ?? null, surroundings };
  }

  #jobStatus({ name, state }: Vassal, job: Job, next: number | null): CronJobStatus {
    const record = this.#journal.read(name, job.key);
    const { runs } = this.#cron;
    return {
      vassal: name,
      option: job.option,
      line: job.customer?.lineNumber ?? null,
      schedule: job.expression,
      timezone: job.zone,
      command: job.command,
      label: job.label,
      next: next === null ? null : isoMinute(next),
      heldBack: state === 'running' ? null : `the vassal is ${state}`,
      running: runs.runningOf(name, job.key),
      waiting: runs.isHeld(name, job.key),
      runs: record?.runs ?? 0,
      failures: record?.failures ?? 0,
      last: record?.last ? lastStatus(record.last) : null,
    };
  }
}

interface JobSource {
  readonly config: VassalConfig;
  /** Null while it is not known. */
  readonly crontab: Crontab | null;
}

/** An init that is adopted answers at once, unless it is frozen or its tenant's doing. */
const CRONTAB_PATIENCE_MS = 2000;

function lastStatus(last: LastRun): CronJobStatus['last'] {
  const { minute, startedAtMs, endedAtMs, code, signal, error } = last;
  return {
    for: isoMinute(minute),
    startedAt: new Date(startedAtMs).toISOString(),
    endedAt: endedAtMs === null ? null : new Date(endedAtMs).toISOString(),
    durationMs: endedAtMs === null ? null : Math.max(0, endedAtMs - startedAtMs),
    code,
    signal,
    error,
  };
}
