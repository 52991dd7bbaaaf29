/** What an emperor that has ended may leave: its launcher, its vassals, their cgroups. Unlike a world's leaks(), by name. */
import { existsSync, readdirSync, readFileSync, readlinkSync, rmdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isErrno } from '../../src/base/errors.ts';
import { removeOfControllers } from './cgroup-tree.ts';
import { allPids, commandOf, isAlive } from './proc.ts';
import { until } from './wait.ts';

export interface RemainsOptions {
  /** The directory of the cgroup that all vassals are in. */
  readonly cgroup: string;
  readonly launcherSocket: string;
  /** Name of the network namespace that plays the host; of nobody else. */
  readonly netns: string;
}

export class Remains {
  readonly #options: RemainsOptions;

  constructor(options: RemainsOptions) {
    this.#options = options;
  }

  /** Launchers, routers and processes of vassals. */
  pids(): readonly number[] {
    const launcher = `launcher ${this.#options.launcherSocket}`;
    const launchers = allPids().filter((pid) => commandOf(pid).includes(launcher));
    const members = this.#cgroups().flatMap((path) =>
      readIfThere(join(path, 'cgroup.procs')).split('\n').filter(Boolean).map(Number),
    );
    return [...new Set([...launchers, ...this.routers(), ...members])].filter(isAlive);
  }

  /** Routers of this network namespace, without spares, which end with the emperor. */
  routers(): readonly number[] {
    const net = `net:[${statSync(`/run/netns/${this.#options.netns}`).ino}]`;
    return allPids().filter(
      (pid) =>
        /^emperor-router |router\/main\.js(?! --spare)/.test(commandOf(pid)) &&
        namespaceOf(pid) === net,
    );
  }

  /** All at once: for few. */
  async kill(): Promise<void> {
    for (const pid of this.pids()) killIfAlive(pid);
    await until('what was left is killed', () => this.pids().length === 0, 20_000);
  }

  /** Once nothing is in them. */
  removeCgroups(): void {
    for (const path of this.#cgroups()) rmdirSync(path);
    removeOfControllers(basename(this.#options.cgroup));
  }

  /** Children before parents. */
  #cgroups(): readonly string[] {
    const { cgroup: top } = this.#options;
    if (!existsSync(top)) return [];
    const inside = readdirSync(top, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name));
    return [top, ...inside].sort().reverse();
  }
}

/** `net:[4026531840]`; empty once the process has ended. */
function namespaceOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return '';
  }
}

/** It may end with its pid namespace first. */
function killIfAlive(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!isErrno(error, 'ESRCH')) throw error;
  }
}

export function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // It ended meanwhile.
    return '';
  }
}
