/** The launcher as the emperor sees it: what makes vassals, and keeps how they ended until asked. */
import { EmperorError } from '../base/errors.ts';
import {
  Connection,
  type ConnectionOptions,
  type ExitStatus,
  exitStatusOf,
  listAll,
  Refusal,
  type Request,
} from './connection.ts';
import { launchFields } from './encode.ts';
import { type Fields, type Frame, FrameError } from './frames.ts';
import type { JailPlan } from './plan.ts';
import { stepFailure } from './step-failure.ts';
import { STATE, TAG, VERB } from './wire.ts';

export interface LauncherWelcome {
  readonly version: number;
  /** In the numbering of the launcher's pid namespace, which is the emperor's too. */
  readonly pid: number;
  readonly bootId: string;
  readonly startedAtMs: number;
}

/** How an init ended. */
export interface ChildExit extends ExitStatus {
  readonly name: string;
  readonly pid: number;
  /** Clock ticks since boot; with the pid it names a process for ever. */
  readonly startTime: bigint;
}

/** A vassal's init, alive or ended and not yet acknowledged. */
export interface LauncherChild {
  readonly name: string;
  readonly pid: number;
  readonly startTime: bigint;
  readonly state: 'gate' | 'running' | 'ended';
  /** null while it lives. */
  readonly exit: ChildExit | null;
}

/** What a launch may take besides its hooks and its wait at the gate. */
const LAUNCH_MARGIN_MS = 10_000;

export class LauncherClient {
  readonly #connection: Connection<ChildExit>;

  private constructor(connection: Connection<ChildExit>) {
    this.#connection = connection;
  }

  /** Connects to launcher.sock; throws `not-reachable`. */
  static async connect(path: string, options: ConnectionOptions = {}): Promise<LauncherClient> {
    const peer = `the launcher at ${path}`;
    const readEvent = (frame: Frame) =>
      frame.verb === VERB.EXITED ? exitOfChild(frame.fields) : null;
    return new LauncherClient(await Connection.connect(path, { ...options, peer, readEvent }));
  }

  /** Asks who it is; from then on exits are reported, unless `subscribe` is false. */
  async hello(options: { readonly subscribe?: boolean } = {}): Promise<LauncherWelcome> {
    const subscribe = options.subscribe ?? true;
    return this.#ask({
      verb: VERB.HELLO,
      fields: [[TAG.SUBSCRIBE, subscribe ? 1 : 0]],
      read: welcomeOf,
    });
  }

  /**
   * Makes a vassal, which then waits at its gate. Throws `jail-failed` with the sentence for the operator.
   */
  async launch(plan: JailPlan): Promise<{ readonly pid: number; readonly startTime: bigint }> {
    try {
      return await this.#connection.request({
        verb: VERB.LAUNCH,
        fields: launchFields(plan),
        read: (fields) => ({
          pid: fields.number(TAG.PID),
          startTime: fields.bigint(TAG.START_TIME),
        }),
        timeoutMs: launchTimeoutMs(plan),
      });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      throw new EmperorError('jail-failed', stepFailure(plan, error), { cause: error });
    }
  }

  async list(): Promise<readonly LauncherChild[]> {
    return listAll((request) => this.#ask(request), childOf);
  }

  /** The exit of `pid` has been noted; the launcher may forget it. */
  async ack(pid: number): Promise<void> {
    await this.#ask({ verb: VERB.ACK, fields: [[TAG.PID, pid]], read: nothing });
  }

  /** Ends the launcher; vassals stay. */
  async quit(): Promise<void> {
    await this.#ask({ verb: VERB.QUIT, fields: [], read: nothing });
  }

  /** Exits that came before there was a listener are kept for the first one. */
  onExit(listener: (exit: ChildExit) => void): void {
    this.#connection.onEvent(listener);
  }

  /** Called once when the connection has ended, at once if it has already. */
  onClose(listener: () => void): void {
    this.#connection.onClose(listener);
  }

  close(): void {
    this.#connection.close();
  }

  async #ask<Answer>(request: Request<Answer>): Promise<Answer> {
    try {
      return await this.#connection.request(request);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const message = `Cannot ask the launcher: it ${error.message}`;
      throw new EmperorError('system-call', message, { cause: error });
    }
  }
}

const nothing = () => {};

/** Hooks have time limits of their own; the rest of a launch is milliseconds. */
function launchTimeoutMs(plan: JailPlan): number {
  return plan.steps.reduce(
    (ms, step) => ms + (step.op === 'hook' ? step.timeoutMs : 0),
    LAUNCH_MARGIN_MS,
  );
}

function welcomeOf(fields: Fields): LauncherWelcome {
  return {
    version: fields.number(TAG.VERSION),
    pid: fields.number(TAG.PID),
    bootId: fields.text(TAG.BOOT_ID),
    startedAtMs: fields.number(TAG.TIME_MS),
  };
}

function childOf(fields: Fields): LauncherChild {
  const state = childStateOf(fields.number(TAG.STATE));
  return {
    name: fields.text(TAG.NAME),
    pid: fields.number(TAG.PID),
    startTime: fields.bigint(TAG.START_TIME),
    state,
    exit: state === 'ended' ? exitOfChild(fields) : null,
  };
}

function childStateOf(state: number): LauncherChild['state'] {
  if (state === STATE.GATE) return 'gate';
  if (state === STATE.ENDED) return 'ended';
  if (state === STATE.RUNNING || state === STATE.STOPPING) return 'running';
  throw new FrameError(`STATE ${state} is not known`);
}

function exitOfChild(fields: Fields): ChildExit {
  return {
    name: fields.text(TAG.NAME),
    pid: fields.number(TAG.PID),
    startTime: fields.bigint(TAG.START_TIME),
    ...exitStatusOf(fields),
  };
}
