/**
 * Starts the emperor: opens what it needs, takes over what runs, reads the files, governs. The API is put
 * on top by the caller (cli/run.ts), since imports go down only.
 */
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { type Clock, systemClock } from '../base/clock.ts';
import { EmperorError, messageOf } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { Scope } from '../base/scope.ts';
import { Semaphore } from '../base/semaphore.ts';
import { openMembership } from '../cgroup/membership.ts';
import type { EmperorConfig } from '../config/emperor-config.ts';
import type { LauncherClient } from '../jail/launcher-client.ts';
import { loadSeccompFilter } from '../jail/seccomp.ts';
import { startLauncher } from '../jail/start-launcher.ts';
import { flock } from '../linux/flock.ts';
import { Poller } from '../linux/poller.ts';
import { Emperor } from './emperor.ts';
import { listDirectories } from './listing.ts';
import { type Settings, SettingsFile } from './settings.ts';
import { Stats } from './stats.ts';
import { VassalWatch } from './watch.ts';

export interface RunOptions {
  readonly iniFile: string;
  /** `--set k=v` */
  readonly overrides: readonly string[];
  readonly createLog: (config: EmperorConfig) => Log;
}

export interface RunningEmperor {
  readonly governor: Emperor;
  readonly config: EmperorConfig;
  /** Resolves with the exit status once the emperor has let go of everything. */
  readonly done: Promise<number>;
}

/** Vassals that are being started at the same time, for each core. */
const STARTS_PER_CORE = 8;

/** Throws `bad-config`, `already-running`, `not-permitted`. */
export async function startEmperor(options: RunOptions): Promise<RunningEmperor> {
  const settingsFile = new SettingsFile(options.iniFile, options.overrides);
  const settings = settingsFile.load();
  if (process.getuid?.() !== 0) {
    throw new EmperorError(
      'not-permitted',
      'Cannot govern: the emperor must run as root; use sudo',
    );
  }
  const scope = new Scope();
  try {
    return await govern(options, { settingsFile, settings, scope });
  } catch (error) {
    await scope.close();
    throw error;
  }
}

async function govern(
  options: RunOptions,
  opened: { readonly settingsFile: SettingsFile; readonly settings: Settings; readonly scope: Scope },
): Promise<RunningEmperor> {
  const { settingsFile, settings, scope } = opened;
  const { config } = settings;
  makeDirectories(config);
  lockRunDirectory(config, scope);
  const log = options.createLog(config);
  const clock: Clock = systemClock;
  const poller = scope.add(Poller.start(), (open) => open.close());
  const launcher = await openLauncher(config, log, scope);
  const stats = scope.add(
    new Stats({ startedAtMs: clock.now(), launcherPid: () => launcher.pid }),
    (open) => open.close(),
  );

  let finish: (status: number) => void = () => {};
  const done = new Promise<number>((resolve) => {
    finish = resolve;
  });
  const emperor = new Emperor(settings, {
    clock,
    log,
    poller,
    membership: openMembership({
      mountinfo: readFileSync('/proc/self/mountinfo', 'utf8'),
      parent: config.cgroupParent,
      listDirectories,
    }),
    launcher: () => launcher.client(),
    startLimit: new Semaphore(config.startLimit ?? STARTS_PER_CORE * availableParallelism()),
    backoff: config.throttle,
    random: Math.random,
    program: launcher.program,
    seccompFilter: loadSeccompFilter(),
    reload: () => settingsFile.load(),
    readInclude: settingsFile.readInclude,
    rescan: () => watch.rescan(),
    look: (name) => watch.look(name),
    stats,
    quit: async ({ stopVassals }) => {
      watch.close();
      if (stopVassals) {
        await emperor.stopAll();
        await launcher.quit();
      }
      emperor.saveIdentities();
      emperor.release();
      await scope.close();
      finish(0);
    },
  });
  const watch = new VassalWatch({
    directories: config.vassalDirectories,
    clock,
    log,
    settleMs: config.settleMs,
    onSightings: (batch) => emperor.see(batch),
    onCondition: ({ kind, directory, message, active }) =>
      emperor.note({ kind: `${kind} ${directory}`, message, isActive: active }),
  });

  const adopted = await emperor.adopt();
  if (adopted > 0) log.info({ vassals: adopted }, 'adopted what runs');
  await watch.start();
  await emperor.judgeOrphans();
  scope.add(settingsFile, (open) => open.close());
  settingsFile.watch(() => {
    emperor.reloadSettings().catch((error) => {
      log.error({ error: messageOf(error) }, 'emperor.ini could not be applied');
    });
  });
  return { governor: emperor, config, done };
}

function makeDirectories(config: EmperorConfig): void {
  for (const path of [config.runDirectory, config.stateDirectory]) {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  }
  for (const path of [config.logDirectory, config.homesDirectory]) {
    mkdirSync(path, { recursive: true, mode: 0o755 });
  }
}

function lockRunDirectory(config: EmperorConfig, scope: Scope): void {
  const lock = scope.add(openSync(join(config.runDirectory, 'emperor.lock'), 'a', 0o600), closeSync);
  if (!flock(lock, 'exclusive')) {
    throw new EmperorError(
      'already-running',
      `Cannot govern: another emperor holds ${config.runDirectory}; stop it with ` +
        '`emperor shutdown`, or give this one a run-dir of its own',
    );
  }
}

interface OpenLauncher {
  readonly program: string;
  readonly pid: number | null;
  client(): LauncherClient;
  quit(): Promise<void>;
}

/** Starts or finds the launcher, and starts a new one whenever it dies. */
async function openLauncher(config: EmperorConfig, log: Log, scope: Scope): Promise<OpenLauncher> {
  let isLeaving = false;
  let current = await start();
  scope.add(current, () => {
    isLeaving = true;
    current.client.close();
  });
  return {
    get program() {
      return current.program;
    },
    get pid() {
      return current.pid;
    },
    client: () => current.client,
    async quit() {
      isLeaving = true;
      await current.client.quit();
    },
  };

  async function start() {
    const { client, program } = await startLauncher({
      runDirectory: config.runDirectory,
      stateDirectory: config.stateDirectory,
      logDirectory: config.logDirectory,
      keepDirectories: [
        ...config.vassalDirectories,
        config.distrosDirectory,
        config.homesDirectory,
        config.runDirectory,
        config.stateDirectory,
        config.logDirectory,
        ...(config.optDirectory === null ? [] : [config.optDirectory]),
      ],
    });
    const { pid } = await client.hello({ subscribe: true });
    client.onExit((exit) => {
      client.ack(exit.pid).catch(() => {
        // The launcher has died; its successor knows nothing of this exit.
      });
    });
    client.onClose(() => {
      if (isLeaving) return;
      log.warn({ pid }, 'the launcher ended; its vassals go on, starting a new one');
      start().then(
        (next) => {
          current = next;
        },
        (error) => log.error({ error: messageOf(error) }, 'the launcher could not be started'),
      );
    });
    return { client, program, pid };
  }
}
