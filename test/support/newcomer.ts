/**
 * Runs the emperor as somebody does who has just cloned it: by a command of the checkout, in a network
 * namespace of the test's own, with directories and cgroups of the test's own in place of the machine's.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type CgroupTree, makeCgroupTree } from './cgroup-tree.ts';
import { allPids, commandOf } from './proc.ts';
import { until } from './wait.ts';

export const ROOT = resolve(import.meta.dirname, '../..');
const START_MS = 30_000;
const STOP_MS = 30_000;

export class Newcomer {
  readonly directory = mkdtempSync(join(tmpdir(), 'emperor-newcomer-'));
  readonly cgroup: CgroupTree;
  readonly #netns: string;
  #child: ChildProcess | null = null;
  #output = '';

  constructor(name: string) {
    const own = `emperor-${name}-${process.pid}`;
    this.#netns = own;
    execFileSync('ip', ['netns', 'add', own]);
    this.cgroup = makeCgroupTree(own);
  }

  /** What the command printed, on stdout and stderr. */
  get output(): string {
    return this.#output;
  }

  /** Runs `command` in the checkout, with `--set` lines behind it, until it says `ready`. */
  async start(command: readonly string[]): Promise<void> {
    const child = spawn(
      'ip',
      ['netns', 'exec', this.#netns, ...command, ...this.#settings()],
      // A group of its own, as a shell makes one for what it runs in the foreground.
      { cwd: ROOT, detached: true, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        this.#output += chunk.toString();
      });
    }
    await until(
      'the emperor says ready',
      () => {
        if (child.exitCode !== null) throw new Error(`it ended: ${this.#output}`);
        return /^ready$/m.test(this.#output);
      },
      START_MS,
    );
  }

  #settings(): readonly string[] {
    const path = (name: string) => join(this.directory, name);
    const settings = {
      'run-dir': path('run'),
      'state-dir': path('state'),
      'log-dir': path('log'),
      homes: path('homes'),
      'cgroup-parent': this.cgroup.parent,
    };
    return Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
  }

  /** Runs a command of the CLI, whatever comes of it. */
  ask(...args: readonly string[]) {
    const socket = join(this.directory, 'run/emperor.sock');
    return spawnSync(join(ROOT, 'bin/emperor'), ['--socket', socket, ...args], {
      encoding: 'utf8',
    });
  }

  /** What a command of the CLI prints; throws if it fails. */
  cli(...args: readonly string[]): string {
    const { status, stdout, stderr } = this.ask(...args);
    if (status === 0) return stdout;
    throw new Error(`${args.join(' ')}: ${status} ${stderr}`);
  }

  /** What a terminal does on Ctrl-C; resolves when the command has ended, by whatever npm makes of it. */
  async interrupt(): Promise<void> {
    const child = this.#child;
    if (child?.pid === undefined) throw new Error('nothing runs');
    process.kill(-child.pid, 'SIGINT');
    await until('it exits', () => child.exitCode !== null || child.signalCode !== null, STOP_MS);
  }

  /** Processes that were started for this emperor or its vassals, as they call themselves. */
  processes(): readonly string[] {
    const inside = new Set(this.cgroup.pids());
    return allPids()
      .map((pid) => ({ pid, words: commandOf(pid) }))
      .filter(({ pid, words }) => inside.has(pid) || words.includes(this.directory))
      .map(({ pid, words }) => `${pid} ${words}`);
  }

  async close(): Promise<void> {
    const child = this.#child;
    if (child?.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      process.kill(-child.pid, 'SIGKILL');
    }
    for (const line of this.processes()) {
      const pid = Number.parseInt(line, 10);
      if (!this.cgroup.pids().includes(pid)) process.kill(pid, 'SIGKILL');
    }
    await this.cgroup.close();
    execFileSync('ip', ['netns', 'del', this.#netns]);
    rmSync(this.directory, { recursive: true, force: true });
  }
}
