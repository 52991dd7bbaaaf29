/**
 * How a vassal's processes live, out of its configuration and the emperor's: the jail plan, and working
 * directory, environment and shell of whatever is started inside.
 */
import { join, resolve } from 'node:path';
import type { Cgroups } from '../cgroup/membership.ts';
import type { EmperorConfig } from '../config/emperor-config.ts';
import type { Daemon } from '../config/kinds/daemons.ts';
import type { Ready } from '../config/kinds/ready.ts';
import type { VassalConfig } from '../config/vassal-config.ts';
import { TOOLS_PATH } from '../jail/crontab-shim.ts';
import { type JailNetwork, type JailPlan, planJail } from '../jail/plan.ts';
import { hostNameServers } from '../network/resolv.ts';
import type { MainLine } from '../vassal/command-process.ts';
import type { DaemonLine } from '../vassal/daemon-process.ts';
import type { InnerHookOptions } from '../vassal/inner-hooks.ts';
import type { Applied } from '../vassal/vassal.ts';
import type { DistroCache } from './distro-cache.ts';
import type { IdentityStore } from './identity-store.ts';

const INNER_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export interface Surroundings {
  readonly cwd: string;
  /** `NAME=value` */
  readonly env: readonly string[];
  readonly shell: string;
}

export class SurroundingsMaker {
  readonly #emperor: () => EmperorConfig;
  readonly #identities: IdentityStore;
  readonly #distros: DistroCache;
  readonly #seccompFilter: Uint8Array;
  readonly #networkOf: (config: VassalConfig) => JailNetwork | null;
  readonly #imageOf: (name: string) => string | null;

  constructor(options: {
    readonly emperor: () => EmperorConfig;
    readonly identities: IdentityStore;
    readonly distros: DistroCache;
    readonly seccompFilter: Uint8Array;
    /** Throws `conflict` where there is no address for it. */
    readonly networkOf: (config: VassalConfig) => JailNetwork | null;
    /** The image that a home lies in; null: a directory is the home. */
    readonly imageOf: (name: string) => string | null;
  }) {
    this.#emperor = options.emperor;
    this.#identities = options.identities;
    this.#distros = options.distros;
    this.#seccompFilter = options.seccompFilter;
    this.#networkOf = options.networkOf;
    this.#imageOf = options.imageOf;
  }

  /** Throws `bad-distro`, and `conflict` when no uid is left. */
  planJail(applied: Applied, cgroups: Cgroups, runDirectory: string): JailPlan {
    const emperor = this.#emperor();
    const { config } = applied;
    const distro = join(emperor.distrosDirectory, config.distro);
    const { etcFiles } = this.#distros.of(distro);
    return planJail({
      name: config.name,
      generation: applied.generation,
      hash: applied.hash,
      namespaces: emperor.namespaces,
      ...this.#identities.of(config.name, config),
      hostname: config.hostname,
      distro,
      etcFiles,
      shell: this.#shellOf(config),
      home: this.homeOf(config),
      homeImage: this.#imageOf(config.name),
      opt: config.opt,
      binds: config.binds,
      runDirectory,
      logDirectory: join(emperor.logDirectory, config.name),
      logMaxBytes: config.logMaxBytes,
      logFiles: config.logFiles,
      cgroups,
      tmpSizeBytes: config.tmpSizeBytes,
      runSizeBytes: config.runSizeBytes,
      dns: this.dnsOf(config),
      network: this.#networkOf(config),
      hooks: config.execAsRoot,
      hookTimeoutMs: emperor.hookTimeoutMs,
      ksm: config.ksm === true,
      seccompFilter: this.#seccompFilter,
    });
  }

  /** The name servers of a vassal; null: of one that names none. */
  dnsOf(config: VassalConfig | null): readonly string[] {
    const { dns, namespaces } = this.#emperor();
    if (config?.dns) return config.dns;
    if (config === null && dns.length > 0) return dns;
    return hostNameServers()[namespaces.includes('net') ? 'reachable' : 'own'];
  }

  /** The command as init starts it; null for an idle vassal. */
  commandLine(config: VassalConfig): MainLine | null {
    if (!config.command) return null;
    const { cwd, env } = this.of(config);
    // An older emperor's record may lack them.
    const { ready = null, watchdogMs = null } = config;
    const isTold = ready?.how === 'notify' || ready?.how === 'fd';
    const more = [
      ...(ready?.how === 'fd' ? ['READY_FD=3'] : []),
      ...(watchdogMs === null ? [] : [`WATCHDOG_USEC=${watchdogMs * 1000}`]),
    ];
    return {
      argv: config.command,
      cwd,
      env: [...env, ...more],
      ...(isTold ? { notify: ready.how } : {}),
      ...(watchdogMs === null ? {} : { watchdogMs }),
    };
  }

  /** How it shows that it is ready, a path as its processes see it. */
  readyOf({ ready = null, ...config }: VassalConfig): Ready | null {
    if (ready?.how !== 'path') return ready;
    return { ...ready, path: resolve(this.homeInside(config), ready.path) };
  }

  /** Where the operator's hooks inside run, and how long each may take. */
  hookPlace(config: VassalConfig): Omit<InnerHookOptions, 'init'> {
    const { cwd, env } = this.of(config);
    return { place: { cwd, env }, timeoutMs: this.#emperor().hookTimeoutMs };
  }

  /** What hooks on the host may want to know of a vassal. */
  hookEnvironment(config: VassalConfig): Readonly<Record<string, string>> {
    const { uid, gid } = this.#identities.of(config.name, config);
    return { VASSAL_HOME: this.homeOf(config), VASSAL_UID: `${uid}`, VASSAL_GID: `${gid}` };
  }

  /** A daemon as init starts it. */
  daemonLine(config: VassalConfig, daemon: Daemon): DaemonLine {
    const { cwd, env } = this.of(config);
    const inside = (path: string) => resolve(this.homeInside(config), path);
    return {
      argv: daemon.command,
      env,
      cwd: daemon.chdir === null ? cwd : inside(daemon.chdir),
      pidFile: daemon.pidFile === null ? null : inside(daemon.pidFile),
      touch: daemon.touch.map(inside),
    };
  }

  isJailed(): boolean {
    return this.#emperor().namespaces.includes('fs');
  }

  /** Its home as its processes see it. */
  homeInside(config: Pick<VassalConfig, 'name' | 'home'>): string {
    return this.isJailed() ? `/home/${config.name}` : this.homeOf(config);
  }

  /** What everything that is started in a vassal finds. */
  of(config: VassalConfig): Surroundings {
    const home = this.homeInside(config);
    const shell = this.#shellOf(config);
    const env = new Map([
      ['PATH', this.isJailed() ? `${TOOLS_PATH}:${INNER_PATH}` : INNER_PATH],
      ['HOME', home],
      ['USER', config.name],
      ['LOGNAME', config.name],
      ['SHELL', shell],
      ['LANG', 'C.UTF-8'],
      ...config.env,
    ]);
    return {
      cwd: config.chdir === null ? home : resolve(home, config.chdir),
      env: [...env].map(([key, value]) => `${key}=${value}`),
      shell,
    };
  }

  #shellOf({ shell, distro }: VassalConfig): string {
    // An older emperor's record may lack it.
    if (shell) return shell;
    const root = join(this.#emperor().distrosDirectory, distro);
    return this.isJailed() && this.#distros.look(root).hasBash ? '/bin/bash' : '/bin/sh';
  }

  homeOf(config: Pick<VassalConfig, 'name' | 'home'>): string {
    return config.home ?? join(this.#emperor().homesDirectory, config.name);
  }
}
