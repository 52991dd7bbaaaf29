/**
 * An emperor of the test's own: own network namespace as the host, own directories, own cgroup parent,
 * started and spoken to as a user does it. Everything is gone after close().
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { EmperorError } from '../../src/base/errors.ts';
import { parseWait } from '../../src/cli/commands/wait.ts';
import type { EmperorStats, VassalStatus } from '../../src/emperor/governor.ts';
import { askNow } from './api-now.ts';
import { mountOf } from './cgroup-tree.ts';
import { seeingOnly, withBootId } from './machine-views.ts';
import { commandOf, isAlive } from './proc.ts';
import { Remains } from './remains.ts';
import { patienceMs } from './slowness.ts';
import { until as untilTrue } from './wait.ts';

const ROOT = resolve(import.meta.dirname, '../..');
export const BINARY = join(ROOT, 'bin/emperor');
export const BOOKWORM = join(ROOT, 'distros');

export interface Answer {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface EmperorOptions {
  /** Further lines of emperor.ini's [emperor] section. */
  readonly ini?: string;
  /** Text after the [emperor] section. */
  readonly sections?: string;
  readonly distros?: string;
  readonly distro?: string;
  /** With `emperor0` and a network of both families, of which the host has the first addresses. */
  readonly router?: true;
}

/** What `router: true` stands for. */
export const ROUTER_LINES = `tuntap-router = emperor0 tuntap.sock
tuntap-router-address = 10.77.0.1/24
tuntap-router-address6 = fd77::1/64`;

/** What the machine is, as far as the emperor can see. */
export interface MachineOptions {
  /** `v1`: a machine that has no cgroup v2. */
  readonly cgroups?: 'v1';
  /** What else the daemon is started through, such as `nsenter` into a mount namespace. */
  readonly through?: readonly string[];
}

export class TestEmperor {
  static #count = 0;
  readonly directory = mkdtempSync(join(tmpdir(), 'emperor-e2e-'));
  readonly vassals = join(this.directory, 'vassals');
  readonly ini = join(this.directory, 'emperor.ini');
  readonly netns = `emperor-e2e-${process.pid}-${TestEmperor.#count++}`;
  readonly cgroupParent = `emperor-test-${process.pid}-${TestEmperor.#count}`;
  /** The directory of the cgroup that all vassals are in. */
  readonly cgroup: string;
  /** What the daemon is started through. */
  readonly #wrapper: readonly string[];
  readonly #remains: Remains;
  #boots = 0;
  #daemon: ChildProcess | null = null;
  #output = '';

  constructor(options: EmperorOptions = {}, { cgroups, through = [] }: MachineOptions = {}) {
    const mount = mountOf(cgroups);
    this.cgroup = join(mount.path, this.cgroupParent);
    this.#remains = new Remains({
      cgroup: this.cgroup,
      launcherSocket: join(this.directory, 'run/launcher.sock'),
      netns: this.netns,
    });
    this.#wrapper = [...through, ...(cgroups === 'v1' ? seeingOnly(mount.path) : [])];
    mkdirSync(this.vassals);
    execFileSync('ip', ['netns', 'add', this.netns]);
    execFileSync('ip', ['-n', this.netns, 'link', 'set', 'lo', 'up']);
    this.writeIni(options);
  }

  writeIni(options: EmperorOptions = {}): void {
    const path = (name: string) => join(this.directory, name);
    const text = `[emperor]
vassals = ${this.vassals}
distros = ${options.distros ?? BOOKWORM}
distro = ${options.distro ?? 'bookworm'}
homes = ${path('homes')}
run-dir = ${path('run')}
state-dir = ${path('state')}
log-dir = ${path('log')}
cgroup-parent = ${this.cgroupParent}
${options.router ? ROUTER_LINES : ''}
${options.ini ?? ''}
${options.sections ?? ''}
`;
    writeFileSync(`${this.ini}.new`, text);
    renameSync(`${this.ini}.new`, this.ini);
  }

  get pid(): number {
    return this.#daemon?.pid ?? 0;
  }
  /** What the daemon said so far. */
  get output(): string {
    return this.#output;
  }

  /** Starts the daemon and resolves when it governs. */
  async start(...args: readonly string[]): Promise<void> {
    const daemon = spawn(
      'ip',
      ['netns', 'exec', this.netns, ...this.#machine(), BINARY, 'run', '--ini', this.ini, ...args],
      { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NO_COLOR: '1' } },
    );
    this.#daemon = daemon;
    this.#output = '';
    const note = (chunk: Buffer) => {
      this.#output += chunk.toString();
    };
    daemon.stdout.on('data', note);
    daemon.stderr.on('data', note);
    await until('the emperor says ready', () => {
      if (daemon.exitCode !== null) throw new Error(`the emperor ended: ${this.#output}`);
      return /^ready$/m.test(this.#output);
    });
  }

  #machine(): readonly string[] {
    return this.#boots === 0 ? this.#wrapper : [...this.#wrapper, ...withBootId(this.#bootId)];
  }

  get #bootId(): string {
    return join(this.directory, 'boot_id');
  }

  /**
   * What a reboot of the machine is to the emperor: at once everything has ended, cgroups and run-dir are empty, and the
   * next start is in another boot. For few vassals: all end at once.
   */
  async reboot(): Promise<void> {
    await this.signal('SIGKILL');
    await this.#remains.kill();
    rmSync(join(this.directory, 'run'), { recursive: true });
    this.#remains.removeCgroups();
    this.#boots += 1;
    writeFileSync(this.#bootId, `${randomUUID()}\n`);
    await this.start();
  }

  /** Sends a signal to the daemon and waits for its end. */
  async signal(name: NodeJS.Signals): Promise<number | null> {
    const daemon = this.#daemon;
    if (!daemon || daemon.exitCode !== null || daemon.signalCode !== null) return null;
    const ended = new Promise<number | null>((done) => daemon.once('exit', (code) => done(code)));
    daemon.kill(name);
    return ended;
  }

  /** Reads no more of what the daemon says: its stdout and stderr are broken pipes from now on. */
  closeOutput(): void {
    this.#daemon?.stdout?.destroy();
    this.#daemon?.stderr?.destroy();
  }

  hup(): void {
    this.#daemon?.kill('SIGHUP');
  }

  /** Runs the CLI against this emperor. */
  cli(...args: readonly string[]): Answer {
    return this.cliWith({}, ...args);
  }

  cliWith(options: { readonly input?: string | Buffer }, ...args: readonly string[]): Answer {
    try {
      const stdout = execFileSync(BINARY, ['--ini', this.ini, ...args], {
        encoding: 'utf8',
        stdio: ['pipe', 'pipe', 'pipe'],
        input: options.input ?? '',
        maxBuffer: 1 << 28,
        timeout: patienceMs(60_000),
        env: { ...process.env, NO_COLOR: '1' },
      });
      return { status: 0, stdout, stderr: '' };
    } catch (error) {
      const { status, stdout, stderr } = error as Answer;
      return { status, stdout, stderr };
    }
  }

  /** `emperor CMD … --json`, parsed. */
  json<T = Record<string, unknown>>(...args: readonly string[]): T {
    const answer = this.cli(...args, '--json');
    if (answer.stdout === '')
      throw new Error(`${args.join(' ')}: ${answer.status} ${answer.stderr}`);
    return JSON.parse(answer.stdout) as T;
  }

  /** Where it listens. */
  get socket(): string {
    return join(this.directory, 'run/emperor.sock');
  }

  /** By the API, as those that follow. */
  status(name: string): VassalStatus {
    return askNow(this.socket, 'status', name);
  }

  list(): readonly VassalStatus[] {
    return askNow(this.socket, 'list');
  }

  stats(): EmperorStats {
    return askNow(this.socket, 'stats');
  }

  /** Returns when every directory has been read anew. */
  rescan(): void {
    askNow(this.socket, 'rescan');
  }

  file(name: string): string {
    return join(this.vassals, `${name}.ini`);
  }

  /** Puts a vassal file into place by rename, as a panel does; returns its SHA-256. */
  write(name: string, text: string): string {
    const temporary = join(this.vassals, `.${name}.new`);
    writeFileSync(temporary, text);
    renameSync(temporary, this.file(name));
    return createHash('sha256').update(text).digest('hex');
  }

  remove(name: string): void {
    unlinkSync(this.file(name));
  }

  /** As `emperor wait NAME --for WHAT`; throws with the daemon's output if it does not come. */
  wait(name: string, what: string, timeout = '30s'): void {
    const request = parseWait(what, timeout);
    const timeoutMs = patienceMs(request.timeoutMs);
    const result = askNow(this.socket, 'wait', name, { ...request, timeoutMs });
    if (result.outcome !== 'met') {
      throw new Error(`wait ${name} ${what}: ${JSON.stringify(result)}\n${this.#output}`);
    }
  }

  /** Writes the file and waits until it is what runs. */
  apply(name: string, text: string): void {
    this.wait(name, `applied=${this.write(name, text)}`);
  }

  log(name: string): string {
    const file = join(this.directory, 'log', name, 'current');
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }

  /** Ends everything and removes every trace; throws if a shutdown left something running. */
  async close(): Promise<void> {
    let left: readonly string[] = [];
    try {
      if (this.#daemon && this.#daemon.exitCode === null && this.#daemon.signalCode === null) {
        this.#shutDown();
        await until('the emperor ends', () => this.#daemon?.exitCode !== null);
        // It has hung up, and may be about to end.
        await until('the router ends', () => this.routerPid === 0);
        left = this.#remains.pids().map(commandOf);
      }
    } finally {
      if (this.#daemon?.exitCode === null) this.#daemon.kill('SIGKILL');
      await this.#remains.kill();
      execFileSync('ip', ['netns', 'del', this.netns]);
      rmSync(this.directory, { recursive: true, force: true });
      this.#remains.removeCgroups();
    }
    if (left.length > 0) throw new Error(`left behind: ${left.join('; ')}`);
  }

  #shutDown(): void {
    try {
      askNow(this.socket, 'shutdown', { stopVassals: true });
    } catch (error) {
      // The test has told it to end already.
      if (!(error instanceof EmperorError) || error.code !== 'not-reachable') throw error;
    }
  }

  /** The router's process; 0 while there is none. */
  get routerPid(): number {
    return this.#remains.routers().find(isAlive) ?? 0;
  }
}

/** until() of wait.ts with the patience that a whole emperor wants. */
export function until(what: string, probe: () => boolean, deadlineMs = 20_000): Promise<true> {
  return untilTrue(what, probe, deadlineMs);
}
