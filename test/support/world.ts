/**
 * A world of the test's own: a network namespace that plays the host, a cgroup parent, directories, and a
 * launcher in them. Nothing outside is touched, close() removes all of it, and leaks() tells what a test
 * left behind since the world began.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isErrno } from '../../src/base/errors.ts';
import { Scope } from '../../src/base/scope.ts';
import { type Controllers, openControllers } from '../../src/cgroup/controllers.ts';
import { type Membership, openMembership } from '../../src/cgroup/membership.ts';
import type { LauncherClient } from '../../src/jail/launcher-client.ts';
import { type JailPlan, type JailSpec, planJail } from '../../src/jail/plan.ts';
import { loadSeccompFilter } from '../../src/jail/seccomp.ts';
import {
  type LauncherSetting,
  type RunningLauncher,
  startLauncher,
} from '../../src/jail/start-launcher.ts';
import { type CgroupTree, controllersOfMachine, makeCgroupTree } from './cgroup-tree.ts';
import { commandOf } from './proc.ts';
import { makeTinyDistro } from './tiny-distro.ts';
import { until } from './wait.ts';

export interface World {
  /** All directories are below it. */
  readonly directory: string;
  readonly paths: WorldPaths;
  /** Path of the network namespace that plays the host. */
  readonly netns: string;
  readonly cgroup: CgroupTree;
  /** Value for `cgroup-parent` of an emperor of this world. */
  readonly vassalsParent: string;
  readonly membership: Membership;
  readonly controllers: Controllers;
  /** How the launcher of this world is started. */
  readonly launcherSetting: WorldLauncherSetting;
  /** Starts the launcher unless it runs; further calls return the same. */
  launcher(): Promise<RunningLauncher>;
  /** Pid of the launcher; throws if it does not run. */
  launcherPid(): number;
  /** Makes the tiny distro unless it is there; returns its root directory. */
  tinyDistro(): string;
  /** A specification for the vassal `name` over the tiny distro, with cgroups and directories made. */
  spec(name: string, changes?: Partial<JailSpec>): JailSpec;
  /** The plan of spec(). */
  plan(name: string, changes?: Partial<JailSpec>): JailPlan;
  /** Starts a program in the world's host namespace and cgroup, such as an emperor. */
  spawn(command: readonly string[], env?: NodeJS.ProcessEnv): ChildProcess;
  /** Text of everything in the log of vassal `name`, oldest first. */
  logOf(name: string): string;
  /** Takes what is there now as given. */
  settle(): void;
  /** What is there beyond what was there at settle(); polls until there is nothing, or the deadline. */
  leaks(deadlineMs?: number): Promise<readonly string[]>;
  close(): Promise<void>;
}

export interface WorldPaths {
  readonly run: string;
  readonly state: string;
  readonly log: string;
  readonly homes: string;
  readonly vassals: string;
  readonly distros: string;
}

type WorldLauncherSetting = LauncherSetting & Required<Pick<LauncherSetting, 'wrapper'>>;

const FIRST_UID = 700_000;
let worlds = 0;

export interface WorldOptions {
  /** The hierarchy that decides membership; that which an emperor would take if it is left out. */
  readonly cgroups?: Membership['kind'];
}

/** Makes a world. */
export async function world(options: WorldOptions = {}): Promise<World> {
  const scope = new Scope();
  try {
    return await makeWorld(scope, options);
  } catch (error) {
    await scope.close();
    throw error;
  }
}

async function makeWorld(scope: Scope, { cgroups }: WorldOptions): Promise<World> {
  worlds += 1;
  const directory = scope.add(mkdtempSync(join(tmpdir(), 'emperor-world-')), removeTree);
  const paths = makePaths(directory);
  const cgroup = scope.add(
    makeCgroupTree(`emperor-test-${process.pid}-${worlds}`, cgroups),
    (tree) => tree.close(),
  );
  const vassalsParent = `${cgroup.parent}/vassals`;
  const membership = openMembership({
    mount: cgroup.mount,
    parent: vassalsParent,
    listDirectories: subdirectories,
  });
  const controllers = openControllers({
    membership: cgroup.mount,
    v1: controllersOfMachine(),
    parent: vassalsParent,
  });
  const daemons = join(cgroup.path, 'daemons');
  mkdirSync(daemons);
  const netns = await makeHostNamespace(daemons);
  const wrapper = [...inCgroup(daemons), 'nsenter', `--net=${netns}`, '--'];

  const launcherSetting: WorldLauncherSetting = {
    runDirectory: paths.run,
    stateDirectory: paths.state,
    logDirectory: paths.log,
    keep: [directory],
    wrapper,
  };
  const host: Host = { directory, paths, cgroup, membership };
  const launching = new LazyLauncher(launcherSetting, scope);
  const counted = () => [...snapshot(host, launching)];
  let given = counted();
  let distro: string | null = null;
  let uids = 0;
  const tinyDistro = () => {
    distro ??= makeTinyDistro(join(paths.distros, 'tiny'));
    return distro;
  };
  const spec = (name: string, changes: Partial<JailSpec> = {}) => {
    uids += 1;
    return { ...specOf(host, { name, distro: tinyDistro(), uid: FIRST_UID + uids }), ...changes };
  };

  return {
    directory,
    paths,
    netns,
    cgroup,
    vassalsParent,
    membership,
    controllers,
    launcherSetting,
    launcher: () => launching.start(),
    launcherPid: () => launching.pid(),
    tinyDistro,
    spec,
    plan: (name, changes) => planJail(spec(name, changes)),
    spawn: (command, env) => spawnIn(wrapper, command, env),
    logOf: (name) => readLog(join(paths.log, name)),
    settle: () => {
      given = counted();
    },
    leaks: (deadlineMs = 5000) => leaksSince(given, counted, deadlineMs),
    close: () => scope.close(),
  };
}

interface Host {
  readonly directory: string;
  readonly paths: WorldPaths;
  readonly cgroup: CgroupTree;
  readonly membership: Membership;
}

function makePaths(directory: string): WorldPaths {
  const make = (name: string) => {
    mkdirSync(join(directory, name), { mode: 0o755 });
    return join(directory, name);
  };
  return {
    run: make('run'),
    state: make('state'),
    log: make('log'),
    homes: make('homes'),
    vassals: make('vassals'),
    distros: make('distros'),
  };
}

function inCgroup(path: string): readonly string[] {
  return ['sh', '-c', 'echo $$ > "$0/cgroup.procs" && exec "$@"', path];
}

/** A process holds the namespace, so that no mount is needed; it ends with the world's cgroup. */
async function makeHostNamespace(cgroup: string): Promise<string> {
  const script = 'ip link set lo up && echo ready && exec sleep infinity';
  const [file = '', ...args] = [...inCgroup(cgroup), 'unshare', '--net', 'sh', '-c', script];
  const holder = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise<void>((resolve, reject) => {
    holder.stdout.once('data', () => resolve());
    holder.once('exit', () => reject(new Error('cannot make a network namespace')));
  });
  holder.stdout.destroy();
  holder.unref();
  return `/proc/${holder.pid}/ns/net`;
}

/** The launcher of a world, started when it is first asked for. */
class LazyLauncher {
  readonly #setting: LauncherSetting;
  readonly #scope: Scope;
  #running: Promise<RunningLauncher> | null = null;
  #pid: number | null = null;

  constructor(setting: LauncherSetting, scope: Scope) {
    this.#setting = setting;
    this.#scope = scope;
  }

  start(): Promise<RunningLauncher> {
    this.#running ??= this.#start();
    return this.#running;
  }

  pid(): number {
    if (this.#pid === null) throw new Error('the launcher does not run');
    return this.#pid;
  }

  isRunning(): boolean {
    return this.#pid !== null && existsSync(`/proc/${this.#pid}`);
  }

  async #start(): Promise<RunningLauncher> {
    const running = await startLauncher(this.#setting);
    this.#scope.add<LauncherClient>(running.client, (client) => client.close());
    this.#pid = (await running.client.hello()).pid;
    return running;
  }
}

function specOf(
  { paths, membership }: Host,
  vassal: { readonly name: string; readonly distro: string; readonly uid: number },
): JailSpec {
  const { name, distro, uid } = vassal;
  const runDirectory = join(paths.run, 'vassals', name);
  mkdirSync(runDirectory, { recursive: true, mode: 0o700 });
  return {
    name,
    generation: 1,
    hash: 'test',
    namespaces: ['fs', 'ipc', 'uts', 'net', 'pid'],
    uid,
    gid: uid,
    hostname: name,
    distro,
    etcFiles: ['hosts', 'hostname', 'resolv.conf', 'passwd', 'group'],
    shell: '/bin/sh',
    home: join(paths.homes, name),
    homeImage: null,
    opt: null,
    binds: [],
    runDirectory,
    logDirectory: join(paths.log, name),
    logMaxBytes: 1024 * 1024,
    logFiles: 3,
    cgroups: { ...membership.create(name), joins: [], views: [] },
    tmpSizeBytes: 1024 * 1024,
    runSizeBytes: 1024 * 1024,
    dns: ['192.0.2.53'],
    network: null,
    hooks: [],
    hookTimeoutMs: 10_000,
    ksm: false,
    seccompFilter: loadSeccompFilter(),
  };
}

function spawnIn(
  wrapper: readonly string[],
  command: readonly string[],
  env?: NodeJS.ProcessEnv,
): ChildProcess {
  const [file = '', ...args] = [...wrapper, ...command];
  return spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'], ...(env && { env }) });
}

/** Everything that a test could leave behind, one string each; strings may be repeated. */
function* snapshot(host: Host, launching: LazyLauncher): Generator<string> {
  yield* descriptorsOf('self').map((target) => `descriptor of the test: ${target}`);
  yield* mountsOf('self', host.directory).map((path) => `mount: ${path}`);
  yield* host.cgroup.directories().map((path) => `cgroup: ${path}`);
  yield* processes(host.cgroup);
  yield* list(join(host.paths.run, 'vassals')).map((name) => `run directory: ${name}`);
  if (!launching.isRunning()) return;
  const pid = launching.pid();
  yield* descriptorsOf(pid).map((target) => `descriptor of the launcher: ${target}`);
  yield* mountsOf(pid, '/').map((path) => `mount of the launcher: ${path}`);
}

async function leaksSince(
  given: readonly string[],
  counted: () => readonly string[],
  deadlineMs: number,
): Promise<readonly string[]> {
  let leaks: readonly string[] = [];
  const isClean = () => {
    leaks = beyond(given, counted());
    return leaks.length === 0;
  };
  try {
    await until('nothing is left behind', isClean, deadlineMs);
  } catch {
    // The deadline: what is there now is the answer.
  }
  return leaks;
}

/** Multiset difference. */
function beyond(given: readonly string[], now: readonly string[]): readonly string[] {
  const left = new Map<string, number>();
  for (const one of given) left.set(one, (left.get(one) ?? 0) + 1);
  return now.filter((one) => {
    const count = left.get(one) ?? 0;
    left.set(one, count - 1);
    return count <= 0;
  });
}

/** What open descriptors point to, without numbers that are never twice the same. */
function descriptorsOf(pid: number | 'self'): readonly string[] {
  const directory = `/proc/${pid}/fd`;
  return list(directory).flatMap((fd) => {
    const target = linkOf(join(directory, fd));
    if (target === null || /^\/proc\/\d+\/fd$/.test(target)) return [];
    return [target.startsWith('net:') ? target : target.replace(/\[\d+\]$/, '')];
  });
}

function mountsOf(pid: number | 'self', below: string): readonly string[] {
  const text = textOf(`/proc/${pid}/mountinfo`);
  const points = text.split('\n').map((line) => line.split(' ')[4] ?? '');
  return points.filter((path) => path.startsWith(below));
}

function processes(cgroup: CgroupTree): readonly string[] {
  return cgroup.pids().map((pid) => {
    return `process: ${pid} ${commandOf(pid)} (${linkOf(`/proc/${pid}/ns/net`) ?? 'ended'})`;
  });
}

function readLog(directory: string): string {
  const age = (file: string) => (file === 'current' ? 0 : Number(file.slice('current.'.length)));
  return list(directory)
    .filter((file) => file.startsWith('current'))
    .sort((a, b) => age(b) - age(a))
    .map((file) => textOf(join(directory, file)))
    .join('');
}

function subdirectories(path: string): readonly string[] {
  const entries = readdirSync(path, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
}

function list(path: string): readonly string[] {
  return ifThere(() => readdirSync(path)) ?? [];
}

function textOf(path: string): string {
  return ifThere(() => readFileSync(path, 'utf8')) ?? '';
}

function linkOf(path: string): string | null {
  return ifThere(() => readlinkSync(path));
}

function ifThere<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH', 'ENODEV')) return null;
    throw error;
  }
}

function removeTree(path: string): void {
  rmSync(path, { recursive: true, force: true });
}
