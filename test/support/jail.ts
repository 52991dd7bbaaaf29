/** A vassal of a world without an emperor: launched, let through its gate, and ended by the test. */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { EmperorError } from '../../src/base/errors.ts';
import { InitClient, type SlotExit, type StartRequest } from '../../src/jail/init-client.ts';
import type { ChildExit } from '../../src/jail/launcher-client.ts';
import type { JailPlan } from '../../src/jail/plan.ts';
import { until } from './wait.ts';
import type { World } from './world.ts';

export interface TestJail {
  readonly plan: JailPlan;
  /** Host's numbering. */
  readonly pid: number;
  readonly startTime: bigint;
  readonly init: InitClient;
  /** Starts `argv` in the next slot; the label is the kind. */
  start(argv: readonly string[], changes?: Partial<StartRequest>): Promise<Started>;
  /** Starts `argv` and resolves when it has ended and its output is in the log. */
  run(argv: readonly string[], changes?: Partial<StartRequest>): Promise<SlotExit>;
  /** Runs the fixture `looks` and returns what it printed, key → values. */
  look(...directories: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>>;
  /** Resolves when init has ended, however. */
  readonly ended: Promise<ChildExit>;
  /** Ends it by STOP and removes what an emperor would remove; resolves to how init ended. Once: later calls get that end. */
  stop(graceMs?: number): Promise<ChildExit>;
}

export interface Started {
  readonly slot: bigint;
  readonly pid: number;
  readonly exit: Promise<SlotExit>;
}

/** Launches `plan` and connects to its init, which waits at its gate. */
export async function launchToGate(world: World, plan: JailPlan): Promise<TestJail> {
  const { client } = await world.launcher();
  const { pid, startTime } = await client.launch(plan);
  const ended = new Promise<ChildExit>((resolve) => {
    client.onExit((exit) => exit.pid === pid && resolve(exit));
  });
  const init = await InitClient.connect(socketOf(world, plan.name));
  return jailOf(world, { plan, pid, startTime, init, ended });
}

/** Launches `plan` and lets it through its gate. */
export async function launch(world: World, plan: JailPlan): Promise<TestJail> {
  const jail = await launchToGate(world, plan);
  await jail.init.hello({ subscribe: true });
  await jail.init.go(plan);
  return jail;
}

export function socketOf(world: World, name: string): string {
  return join(world.paths.run, 'vassals', name, 'init.sock');
}

/** Acknowledges the exit of `pid` and removes cgroup and run directory, as an emperor does. */
export async function forget(world: World, name: string, pid?: number): Promise<void> {
  const { client } = await world.launcher();
  if (pid !== undefined) await client.ack(pid);
  await until(`the cgroup of ${name} is removed`, () => {
    if (world.membership.isPopulated(name)) world.membership.kill(name);
    return !world.membership.isPopulated(name) && world.membership.remove(name);
  });
  rmSync(join(world.paths.run, 'vassals', name), { recursive: true, force: true });
}

/** Does the same after a launch that failed, whose pid is not known. */
export async function forgetFailed(world: World, name: string): Promise<void> {
  const { client } = await world.launcher();
  for (const { pid, state } of await client.list()) if (state === 'ended') await client.ack(pid);
  await forget(world, name);
}

/** The sentence with which a launch fails; what is left of it is removed. */
export async function failureOf(world: World, plan: JailPlan): Promise<string> {
  const error = await launch(world, plan).then(
    async (jail) => {
      await jail.stop();
      return new Error(`the launch of ${plan.name} did not fail`);
    },
    (one: unknown) => one,
  );
  await forgetFailed(world, plan.name);
  if (error instanceof EmperorError && error.code === 'jail-failed') return error.message;
  throw error;
}

function jailOf(
  world: World,
  base: Pick<TestJail, 'plan' | 'pid' | 'startTime' | 'init' | 'ended'>,
): TestJail {
  const { plan, pid, init, ended } = base;
  const waiting = new Map<bigint, (exit: SlotExit) => void>();
  init.onExit((exit) => waiting.get(exit.slot)?.(exit));
  let lastSlot = 0n;

  const start: TestJail['start'] = async (argv, changes = {}) => {
    lastSlot += 1n;
    const slot = BigInt(changes.slot ?? lastSlot);
    const exit = new Promise<SlotExit>((resolve) => waiting.set(slot, resolve));
    const request = { slot, kind: 'command', label: 'command', argv, env: [], cwd: '/' };
    return { ...(await init.start({ ...request, ...changes })), exit };
  };
  const run: TestJail['run'] = async (argv, changes) => {
    const started = await start(argv, changes);
    const exit = await started.exit;
    await init.ack(started.slot);
    return exit;
  };
  const stop = async (graceMs: number) => {
    if (existsSync(`/proc/${pid}`)) await init.stop({ graceMs }).catch(unlessGone);
    const exit = await ended;
    init.close();
    await forget(world, plan.name, pid);
    return exit;
  };
  let stopped: Promise<ChildExit> | null = null;
  let looks = 0;
  return {
    ...base,
    start,
    run,
    async look(...directories) {
      looks += 1;
      const label = `looks${looks}`;
      await run(['/bin/looks', ...directories], { label });
      return valuesOf(logLines(world.logOf(plan.name)).filter((line) => line.label === label));
    },
    stop(graceMs = 0) {
      stopped ??= stop(graceMs);
      return stopped;
    },
  };
}

/** It may have ended by itself a moment before it was asked to. */
function unlessGone(error: unknown): void {
  if (!(error instanceof EmperorError) || error.code !== 'not-reachable') throw error;
}

export interface LogLine {
  readonly time: string;
  readonly stream: string;
  /** F for a whole line, P for a part of one that was too long. */
  readonly flag: string;
  readonly label: string;
  readonly text: string;
}

/** Parses a vassal's log; throws on a line of another format. */
export function logLines(text: string): readonly LogLine[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const match = LOG_LINE.exec(line);
      if (!match) throw new Error(`not a line of a log: ${JSON.stringify(line)}`);
      const [, time = '', stream = '', flag = '', label = '', rest = ''] = match;
      return { time, stream, flag, label, text: rest };
    });
}

const LOG_LINE =
  /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z) (stdout|stderr|system) ([FP]) (\S+) ?(.*)$/s;

function valuesOf(lines: readonly LogLine[]): ReadonlyMap<string, readonly string[]> {
  const values = new Map<string, string[]>();
  for (const { text } of lines) {
    // Two words make the key of `ns` and `write`.
    const match = /^((?:ns|write) \S+|\S+) ?(.*)$/.exec(text);
    const [, key = '', value = ''] = match ?? [];
    values.set(key, [...(values.get(key) ?? []), value]);
  }
  return values;
}
