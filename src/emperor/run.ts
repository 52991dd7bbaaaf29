/**
 * Starts the emperor: opens what it needs, takes over what runs, reads the files, governs. The API is put
 * on top by the caller (cli/run.ts), since imports go down only.
 */
import { closeSync, openSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../base/clock.ts';
import { EmperorError, messageOf } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { Scope } from '../base/scope.ts';
import { Semaphore } from '../base/semaphore.ts';
import { openControllers } from '../cgroup/controllers.ts';
import { openMembership } from '../cgroup/membership.ts';
import { provideControllerMounts, provideMembershipMount } from '../cgroup/membership-mount.ts';
import type { EmperorConfig } from '../config/emperor-config.ts';
import { loadSeccompFilter } from '../jail/seccomp.ts';
import { flock } from '../linux/flock.ts';
import { KSM_FAILURES, readKsm } from '../linux/ksm.ts';
import { Poller } from '../linux/poller.ts';
import { Administration } from './administration.ts';
import { makeDirectories } from './directories.ts';
import { Emperor } from './emperor.ts';
import type { Governor } from './governor.ts';
import { imagesDirectory } from './homes.ts';
import { LauncherKeeper } from './launcher-keeper.ts';
import { listDirectories } from './listing.ts';
import { openNetwork } from './open-network.ts';
import { findAside, removeAside } from './purge.ts';
import { Realm } from './realm.ts';
import { SettingsFile } from './settings.ts';
import { Stats } from './stats.ts';
import { VassalWatch } from './watch.ts';

export interface RunOptions {
  readonly iniFile: string;
  /** `--set k=v` */
  readonly overrides: readonly string[];
  readonly createLog: (config: EmperorConfig) => Log;
}

export interface RunningEmperor {
  readonly governor: Governor;
  readonly config: EmperorConfig;
  readonly log: Log;
  /** How many vassals an earlier emperor had left running. */
  readonly adopted: number;
  /** Resolves once the emperor has let go of everything. */
  readonly done: Promise<void>;
}

/** Vassals that are being started at the same time, for each core. */
const STARTS_PER_CORE = 4;

/** Throws `bad-config`, `already-running`, `not-permitted`. */
export async function startEmperor(options: RunOptions): Promise<RunningEmperor> {
  if (process.getuid?.() !== 0) {
    throw new EmperorError(
      'not-permitted',
      'Cannot govern: the emperor must run as root; use sudo',
    );
  }
  const scope = new Scope();
  try {
    return await govern(options, scope);
  } catch (error) {
    await scope.close();
    throw error;
  }
}

async function govern(options: RunOptions, scope: Scope): Promise<RunningEmperor> {
  const settingsFile = new SettingsFile(options.iniFile, options.overrides);
  const settings = settingsFile.load();
  const { config } = settings;
  makeDirectories(config);
  lockRunDirectory(config, scope);
  const log = options.createLog(config);
  const clock = systemClock;
  // Before the launcher, whose mount namespace begins as a copy of this one.
  const mount = provideMembershipMount(config.runDirectory);
  const v1 = provideControllerMounts(config.runDirectory);
  const poller = scope.add(Poller.start(), (open) => open.close());
  const launcher = scope.add(
    await LauncherKeeper.open({ setting: launcherSetting(config), log, clock }),
    (open) => open.close(),
  );
  const stats = scope.add(
    new Stats({ startedAtMs: clock.now(), launcherPid: () => launcher.pid }),
    (open) => open.close(),
  );
  const realm = new Realm(settings, {
    clock,
    log,
    poller,
    membership: openMembership({
      mount,
      parent: config.cgroupParent,
      listDirectories,
    }),
    controllers: openControllers({ membership: mount, v1, parent: config.cgroupParent }),
    launcher: () => launcher.client,
    startLimit: new Semaphore(config.startLimit ?? STARTS_PER_CORE * availableParallelism()),
    random: Math.random,
    processors: cpus().length,
    ksmFailure: () => KSM_FAILURES[readKsm().state],
    seccompFilter: loadSeccompFilter(),
    program: () => launcher.program,
  });
  realm.network = await openNetwork(realm, scope);
  launcher.onReplaced = () => realm.network?.keepDevice();
  const emperor = new Emperor(realm, {
    reload: () => settingsFile.load(),
    readInclude: settingsFile.readInclude,
    setDirectories: (paths) => watch.setDirectories(paths),
  });
  const watch = scope.add(
    new VassalWatch({
      directories: config.vassalDirectories,
      clock,
      log,
      settleMs: config.settleMs,
      onSightings: (batch) => emperor.see(batch),
      onCondition: ({ kind, directory, message, active }) =>
        realm.note({ kind: `${kind} ${directory}`, message, isActive: active }),
    }),
    (open) => open.close(),
  );
  const { done, quit } = departure({ emperor, watch, launcher, realm, scope });

  const adopted = await emperor.adopt();
  if (adopted.length > 0) log.info({ vassals: adopted.length }, 'adopted what runs');
  await watch.start([...realm.unseen]);
  await emperor.upToDate;
  realm.cron.start();
  scope.add(settingsFile, (open) => open.close());
  settingsFile.watch(() => {
    emperor.reloadSettings().catch((error) => {
      log.error({ error: messageOf(error) }, 'emperor.ini could not be applied');
    });
  });
  const { homesDirectory, logDirectory } = config;
  removeAside(findAside([homesDirectory, imagesDirectory(homesDirectory), logDirectory])).catch(
    (error) => {
      log.warn({ error: messageOf(error) }, 'what a purge left cannot be removed');
    },
  );
  const governor = new Administration(realm, emperor, {
    program: launcher.program,
    stats,
    look: (name) => watch.look(name),
    rescan: () => watch.rescan(),
    quit,
  });
  return { governor, config, log, adopted: adopted.length, done };
}

interface Open {
  readonly emperor: Emperor;
  readonly watch: VassalWatch;
  readonly launcher: LauncherKeeper;
  readonly realm: Realm;
  readonly scope: Scope;
}

/** How the emperor leaves: with everything, or leaving its vassals to the next one. */
function departure({ emperor, watch, launcher, realm, scope }: Open): {
  readonly done: Promise<void>;
  readonly quit: (options: { readonly stopVassals: boolean }) => Promise<void>;
} {
  let finish: () => void = () => {};
  const done = new Promise<void>((resolve) => {
    finish = resolve;
  });
  let leaving: Promise<void> | null = null;
  const leave = async (stopVassals: boolean) => {
    watch.close();
    if (stopVassals) {
      await emperor.stopAll();
      await realm.network?.quit();
      await launcher.quit();
    }
    emperor.release();
    await scope.close();
    finish();
  };
  return {
    done,
    quit: ({ stopVassals }) => {
      leaving ??= leave(stopVassals);
      return leaving;
    },
  };
}

function lockRunDirectory(config: EmperorConfig, scope: Scope): void {
  const lock = scope.add(
    openSync(join(config.runDirectory, 'emperor.lock'), 'a', 0o600),
    closeSync,
  );
  if (flock(lock, 'exclusive')) return;
  throw new EmperorError(
    'already-running',
    `Cannot govern: another emperor holds ${config.runDirectory}; stop it with ` +
      '`emperor shutdown`, or give this one a run-dir of its own',
  );
}

function launcherSetting(config: EmperorConfig) {
  const { runDirectory, stateDirectory, logDirectory, homesDirectory, distrosDirectory } = config;
  return {
    runDirectory,
    stateDirectory,
    logDirectory,
    keep: [
      ...config.vassalDirectories,
      ...[distrosDirectory, homesDirectory, runDirectory, stateDirectory, logDirectory],
      ...(config.optDirectory === null ? [] : [config.optDirectory]),
    ],
  };
}
