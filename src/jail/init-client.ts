/**
 * The init of one vassal as the emperor sees it. Init runs with its tenant's uid: what it says is parsed
 * like anything hostile, and an exit status is a hint. Streams are not its business but attach's.
 */
import { isIP } from 'node:net';
import { EmperorError } from '../base/errors.ts';
import { visible } from '../base/visible.ts';
import { errnoName } from '../linux/errno.ts';
import {
  Connection,
  type ConnectionOptions,
  type ExitStatus,
  exitStatusOf,
  listAll,
  Refusal,
  type Request,
} from './connection.ts';
import { type Field, type Fields, type Frame, FrameError } from './frames.ts';
import type { JailPlan } from './plan.ts';
import { stepFailure } from './step-failure.ts';
import { NOTIFY, STATE, STDIO, TAG, VERB } from './wire.ts';

export type InitState = 'gate' | 'running' | 'stopping';

export interface Welcome {
  readonly version: number;
  readonly name: string;
  readonly generation: number;
  readonly hash: string;
  readonly bootId: string;
  /** Clock ticks since boot. */
  readonly startTime: bigint;
  /** The same by the wall clock of that moment, milliseconds since 1970. */
  readonly startedAtMs: number;
  readonly state: InitState;
  readonly uid: number;
  /** Of its tun with prefix, `192.168.0.2/24`, as init read it before the gate; the tenant's claim from then on. */
  readonly address: string | null;
  readonly address6: string | null;
}

/** What is to be started. */
export interface StartRequest {
  /** Chosen by the caller; a repeated start of one slot starts nothing twice. */
  readonly slot: bigint | number;
  readonly kind: string;
  /** Under which its output stands in the log. */
  readonly label: string;
  readonly argv: readonly string[];
  /** All of its environment, `NAME=value`. */
  readonly env: readonly string[];
  readonly cwd: string;
  /** How it says that it is ready; missing, it does not. */
  readonly notify?: 'notify' | 'fd';
  /** So long it may be silent. */
  readonly watchdogMs?: number;
  /** What it reads from its standard input, at most MAX_INPUT_BYTES; missing: nothing. */
  readonly input?: string;
}

/** A pipe holds so much in any case. */
export const MAX_INPUT_BYTES = 4096;

/** The customer's crontab as init read it; `errno` tells why it could not. */
export type CrontabText = { readonly text: string } | { readonly errno: number };

export interface AdoptRequest extends Pick<StartRequest, 'slot' | 'kind' | 'label'> {
  /** Absolute, inside the vassal. */
  readonly pidFile: string;
}

/** How a process that init started has ended. */
export interface SlotExit extends ExitStatus {
  readonly slot: bigint;
  readonly kind: string;
  readonly label: string;
  /** In the vassal's numbering. */
  readonly pid: number;
}

/** What a process says of itself, or does not. */
export interface SlotNotice {
  readonly slot: bigint;
  readonly what: 'ready' | 'silent';
}

export type SlotEvent =
  | { readonly kind: 'exit'; readonly exit: SlotExit }
  | { readonly kind: 'notice'; readonly notice: SlotNotice }
  /** It may say something else now; told once for each crontab(). */
  | { readonly kind: 'crontab' };

/** A process that init started, alive or ended and not yet acknowledged. */
export interface SlotEntry {
  readonly slot: bigint;
  readonly kind: string;
  readonly label: string;
  readonly pid: number;
  readonly state: 'running' | 'ended';
  readonly argv: readonly string[];
  /** null once it has ended. */
  readonly startedAtMs: number | null;
  readonly exit: SlotExit | null;
  /** It has said so. */
  readonly isReady: boolean;
}

/** A process could not be started; `errno` tells "not found" (ENOENT) from "not executable" (EACCES). */
export class StartError extends EmperorError {
  readonly errno: number;

  constructor(message: string, errno: number, cause: unknown) {
    super('start-failed', message, { cause });
    this.errno = errno;
  }
}

export class InitClient {
  readonly #connection: Connection<SlotEvent>;

  private constructor(connection: Connection<SlotEvent>) {
    this.#connection = connection;
  }

  /** Connects to an init.sock, whose path may be of any length; throws `not-reachable`. */
  static async connect(path: string, options: ConnectionOptions = {}): Promise<InitClient> {
    const peer = `the init at ${path}`;
    const dialect = { peer, readEvent: eventOf, mayFlood: true } as const;
    return new InitClient(await Connection.connect(path, { ...options, ...dialect }));
  }

  /** Asks who it is; with `subscribe` exits are reported from then on. */
  async hello(options: { readonly subscribe?: boolean } = {}): Promise<Welcome> {
    return this.#ask('greet it', {
      verb: VERB.HELLO,
      fields: [[TAG.SUBSCRIBE, options.subscribe ? 1 : 0]],
      read: welcomeOf,
    });
  }

  /**
   * Lets it pass the gate: pivot, drop, run. Throws `jail-failed`, with the sentence of the failed step if
   * `plan` is given.
   */
  async go(plan?: JailPlan): Promise<void> {
    try {
      await this.#connection.request({ verb: VERB.GO, fields: [], read: nothing });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const message = plan
        ? stepFailure(plan, error)
        : `Cannot pass the gate: ${reasonOf(error)} (step ${error.step ?? '?'})`;
      throw new EmperorError('jail-failed', message, { cause: error });
    }
  }

  /** Pid of init in our numbering, as the kernel knows it. */
  peerPid(): number {
    return this.#connection.peerPid();
  }

  /** Sets what its hello reports from now on. */
  async meta(applied: { readonly generation: number; readonly hash: string }): Promise<void> {
    const { generation, hash } = applied;
    await this.#tell('tell it its generation', VERB.META, [
      [TAG.GENERATION, generation],
      [TAG.HASH, hash],
    ]);
  }

  /** Starts a process whose output goes to the vassal's log. Throws a StartError. */
  async start(request: StartRequest): Promise<{ readonly slot: bigint; readonly pid: number }> {
    try {
      return await this.#connection.request({
        verb: VERB.START,
        fields: startFields(request),
        read: (fields) => ({ slot: fields.bigint(TAG.SLOT), pid: fields.number(TAG.PID) }),
      });
    } catch (error) {
      if (error instanceof RangeError) throw new StartError(tooLarge(request, error), E2BIG, error);
      if (!(error instanceof Refusal)) throw error;
      throw new StartError(startFailure(request, error), error.errno, error);
    }
  }

  /**
   * Gives a slot to the child of init that a pid file inside names, the one of a daemon that has put itself into the
   * background. Throws `system-call` while there is none.
   */
  async adopt(request: AdoptRequest): Promise<void> {
    await this.#tell(`find the process of ${visible(request.pidFile)}`, VERB.ADOPT, [
      [TAG.SLOT, request.slot],
      [TAG.KIND, request.kind],
      [TAG.LABEL, request.label],
      [TAG.SOURCE, request.pidFile],
    ]);
  }

  /**
   * When a path inside was last modified, nanoseconds since 1970, as the tenant sees it; null where it cannot be
   * seen.
   */
  async look(path: string): Promise<bigint | null> {
    const request = {
      verb: VERB.LOOK,
      fields: [[TAG.SOURCE, path] as const],
      read: (fields: Fields) => fields.bigint(TAG.NUMBER),
    };
    try {
      return await this.#connection.request(request);
    } catch (error) {
      if (error instanceof Refusal) return null;
      throw error;
    }
  }

  /**
   * Reads `crontab` in the home (a path inside) as the tenant, and has its next change told. What stands there may be
   * anything: the errno is EINVAL for no regular file, EPERM for one of another user, EFBIG for one that is too large,
   * EAGAIN where a process inside holds a lease on it, ENOSYS of an init that knows no crontabs, else open(2)'s.
   */
  async crontab(home: string): Promise<CrontabText> {
    const read = (fields: Fields) => ({ text: fields.text(TAG.BYTES) });
    const fields = [[TAG.SOURCE, home] as const];
    const request = { verb: VERB.CRONTAB, fields, read, timeoutMs: CRONTAB_TIMEOUT_MS };
    try {
      return await this.#connection.request(request);
    } catch (error) {
      if (error instanceof Refusal) return { errno: error.errno };
      throw error;
    }
  }

  /** Writes lines to the vassal's own log. */
  async note(label: string, lines: readonly string[]): Promise<void> {
    await this.#tell('write to its log', VERB.NOTE, [
      [TAG.LABEL, label],
      ...lines.map((line): Field => [TAG.TEXT, line]),
    ]);
  }

  /** Sends a signal to the process group of a slot. */
  async signal(slot: bigint | number, signo: number): Promise<void> {
    await this.#tell(`send signal ${signo} to slot ${slot}`, VERB.SIGNAL, [
      [TAG.SLOT, slot],
      [TAG.SIGNAL, signo],
    ]);
  }

  async list(): Promise<readonly SlotEntry[]> {
    const { clock } = this.#connection;
    const until = clock.monotonic() + LIST_TIMEOUT_MS;
    return listAll((request) => this.#ask('list its processes', request), entryOf, {
      atMost: MAX_SLOTS,
      patienceMs: () => Math.max(0, until - clock.monotonic()),
    });
  }

  /** The exit of `slot` has been noted; init may forget it. */
  async ack(slot: bigint | number): Promise<void> {
    await this.#tell(`acknowledge slot ${slot}`, VERB.ACK, [[TAG.SLOT, slot]]);
  }

  /** Tells it to end everything and itself; resolves when it has begun to. */
  async stop(options: { readonly graceMs: number; readonly signal?: number }): Promise<void> {
    const signal: readonly Field[] =
      options.signal === undefined ? [] : [[TAG.SIGNAL, options.signal]];
    await this.#tell('stop it', VERB.STOP, [[TAG.GRACE_MS, options.graceMs], ...signal]);
  }

  /** Events that came before there was a listener are kept for the first one. */
  onEvent(listener: (event: SlotEvent) => void): void {
    this.#connection.onEvent(listener);
  }

  /** As onEvent(), for exits alone. */
  onExit(listener: (exit: SlotExit) => void): void {
    this.onEvent((event) => event.kind === 'exit' && listener(event.exit));
  }

  /** Called once when the connection has ended, at once if it has already. */
  onClose(listener: () => void): void {
    this.#connection.onClose(listener);
  }

  close(): void {
    this.#connection.close();
  }

  async #tell(what: string, verb: number, fields: readonly Field[]): Promise<void> {
    await this.#ask(what, { verb, fields, read: nothing });
  }

  async #ask<Answer>(what: string, request: Request<Answer>): Promise<Answer> {
    try {
      return await this.#connection.request(request);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const message = `Cannot ${what}: init says ${reasonOf(error)}`;
      throw new EmperorError('system-call', message, { cause: error });
    }
  }
}

/** Few are read at the same time, so one that says nothing must not keep others waiting. */
const CRONTAB_TIMEOUT_MS = 2000;
/** For all pages. */
const LIST_TIMEOUT_MS = 10_000;
/** That an init has (slots.h), and bytes of their words. */
const MAX_SLOTS = 256;
const MAX_KIND = 15;
const MAX_LABEL = 63;
const nothing = () => {};
const E2BIG = 7;

function startFields(request: StartRequest): readonly Field[] {
  return [
    [TAG.SLOT, request.slot],
    [TAG.KIND, request.kind],
    [TAG.LABEL, request.label],
    ...request.argv.map((arg): Field => [TAG.ARG, arg]),
    ...request.env.map((one): Field => [TAG.ENV, one]),
    [TAG.CWD, request.cwd],
    [TAG.STDIO, STDIO.LOG],
    ...(request.input ? [[TAG.INPUT, request.input] as const] : []),
    [TAG.NOTIFY, notifyOf(request)],
    [TAG.WATCHDOG_MS, request.watchdogMs ?? 0],
  ];
}

function notifyOf({ notify }: StartRequest): number {
  if (notify === undefined) return NOTIFY.NONE;
  return notify === 'fd' ? NOTIFY.FD : NOTIFY.SOCKET;
}

function startFailure(request: StartRequest, { errno, detail }: Refusal): string {
  const command = visible(request.argv[0] ?? '');
  const name = errnoName(errno);
  if (detail === request.cwd && detail !== request.argv[0]) {
    return `Cannot start ${command} in ${visible(detail)}: ${name}, ${CWD_HINTS[name] ?? 'the directory cannot be entered'}`;
  }
  const about = detail === '' || detail === request.argv[0] ? '' : ` (${visible(detail)})`;
  const hint = COMMAND_HINTS[name];
  return `Cannot start ${command}: ${name}${about}${hint ? `, ${hint}` : ''}`;
}

const CWD_HINTS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such directory inside the vassal',
  ENOTDIR: 'it is not a directory',
  EACCES: "the vassal's user may not enter it",
};

const COMMAND_HINTS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such command inside the vassal, or its interpreter is missing',
  EACCES: "it is not executable for the vassal's user",
  ENOEXEC: 'it is neither a program of this machine nor a script that begins with #!',
  EAGAIN: 'the vassal has too many processes',
  E2BIG: 'arguments and environment are too long',
  ENOMEM: 'there is not enough memory',
};

function tooLarge(request: StartRequest, error: RangeError): string {
  return `Cannot start ${visible(request.argv[0] ?? '')}: ${error.message}`;
}

function reasonOf({ errno, detail }: Refusal): string {
  return detail === '' ? errnoName(errno) : `${errnoName(errno)} (${visible(detail)})`;
}

function welcomeOf(fields: Fields): Welcome {
  return {
    version: fields.number(TAG.VERSION),
    name: fields.text(TAG.NAME),
    generation: fields.number(TAG.GENERATION),
    hash: fields.text(TAG.HASH),
    bootId: fields.text(TAG.BOOT_ID),
    startTime: fields.bigint(TAG.START_TIME),
    startedAtMs: fields.moment(TAG.TIME_MS),
    state: initStateOf(fields.number(TAG.STATE)),
    uid: fields.number(TAG.UID),
    address: fields.optional(TAG.ADDRESS, (one) => addressOf(one.text(TAG.ADDRESS), 4), null),
    address6: fields.optional(TAG.ADDRESS6, (one) => addressOf(one.text(TAG.ADDRESS6), 6), null),
  };
}

function addressOf(text: string, family: 4 | 6): string {
  const [, address = '', prefix = ''] = /^([\da-f.:]+)\/(\d{1,3})$/.exec(text) ?? [];
  const isPrefix = prefix !== '' && Number(prefix) <= (family === 4 ? 32 : 128);
  if (isIP(address) !== family || !isPrefix) throw new FrameError(`${text} is no address`);
  return text;
}

function initStateOf(state: number): InitState {
  if (state === STATE.GATE) return 'gate';
  if (state === STATE.RUNNING) return 'running';
  if (state === STATE.STOPPING) return 'stopping';
  throw new FrameError(`STATE ${state} is not known`);
}

function entryOf(fields: Fields): SlotEntry {
  const isEnded = fields.number(TAG.STATE) === STATE.ENDED;
  return {
    slot: fields.bigint(TAG.SLOT),
    kind: fields.text(TAG.KIND, MAX_KIND),
    label: fields.text(TAG.LABEL, MAX_LABEL),
    pid: fields.number(TAG.PID),
    state: isEnded ? 'ended' : 'running',
    argv: fields.texts(TAG.ARG),
    startedAtMs: isEnded ? null : fields.moment(TAG.TIME_MS),
    exit: isEnded ? slotExitOf(fields) : null,
    isReady: fields.optional(TAG.READY, (one) => one.number(TAG.READY) === 1, false),
  };
}

function eventOf({ verb, fields }: Frame): SlotEvent | null {
  if (verb === VERB.EXITED) return { kind: 'exit', exit: slotExitOf(fields) };
  if (verb === VERB.CRONTAB_CHANGED) return { kind: 'crontab' };
  if (verb !== VERB.NOTICED) return null;
  const what = fields.number(TAG.READY) === 1 ? 'ready' : 'silent';
  return { kind: 'notice', notice: { slot: fields.bigint(TAG.SLOT), what } };
}

function slotExitOf(fields: Fields): SlotExit {
  return {
    slot: fields.bigint(TAG.SLOT),
    kind: fields.text(TAG.KIND, MAX_KIND),
    label: fields.text(TAG.LABEL, MAX_LABEL),
    pid: fields.number(TAG.PID),
    ...exitStatusOf(fields),
  };
}
