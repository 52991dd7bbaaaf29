/** The CLI's side of the API: HTTP over the unix socket, errors as EmperorErrors with the server's code. */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import {
  type Diagnostic,
  EmperorError,
  ERRORS,
  type ErrorCode,
  isErrno,
  messageOf,
} from '../base/errors.ts';
import { shortPath } from '../base/socket-path.ts';
import type {
  CronJobStatus,
  DistroStatus,
  EmperorEvent,
  EmperorStats,
  ExecTarget,
  FirewallAnswer,
  NetworkStatus,
  PlannedChange,
  ResolvedValue,
  VassalAction,
  VassalNetworkStatus,
  VassalStatus,
  WaitRequest,
  WaitResult,
} from '../emperor/governor.ts';
import type { JailPlan } from '../jail/plan.ts';
import { EventReader } from './event-stream.ts';
import { actionPath, PATHS, pathFor } from './paths.ts';
import { type EventsRequest, formatEventsQuery, formatWaitQuery, type Query } from './query.ts';

type Method = 'GET' | 'POST';

/** Every call throws `not-reachable`, `not-permitted`, or what the server says. */
export class ApiClient {
  readonly socketPath: string;

  constructor(socketPath: string) {
    this.socketPath = socketPath;
  }

  list(): Promise<readonly VassalStatus[]> {
    return this.#ask('GET', PATHS.vassals);
  }

  /** Of one vassal, or of all. */
  cronJobs(name?: string): Promise<readonly CronJobStatus[]> {
    return this.#ask('GET', name === undefined ? PATHS.cron : pathFor(PATHS.vassalCron, name));
  }

  status(name: string): Promise<VassalStatus> {
    return this.#ask('GET', pathFor(PATHS.vassal, name));
  }

  act(name: string, action: VassalAction): Promise<void> {
    return this.#ask('POST', pathFor(actionPath(action), name));
  }

  purge(name: string): Promise<void> {
    return this.#ask('POST', pathFor(PATHS.purge, name));
  }

  wait(name: string, request: WaitRequest): Promise<WaitResult> {
    return this.#ask('GET', pathFor(PATHS.wait, name), formatWaitQuery(request));
  }

  file(name: string): Promise<{ readonly file: string | null; readonly text: string }> {
    return this.#ask('GET', pathFor(PATHS.file, name));
  }

  resolved(name: string): Promise<readonly ResolvedValue[]> {
    return this.#ask('GET', pathFor(PATHS.resolved, name));
  }

  execTarget(name: string): Promise<ExecTarget> {
    return this.#ask('GET', pathFor(PATHS.exec, name));
  }

  /** The filter of its seccomp step is base64 here. */
  jailPlan(name: string): Promise<JailPlan> {
    return this.#ask('GET', pathFor(PATHS.jailPlan, name));
  }

  /** Throws `not-supported` where there is none. */
  network(): Promise<NetworkStatus> {
    return this.#ask('GET', PATHS.network);
  }

  vassalNetwork(name: string): Promise<VassalNetworkStatus> {
    return this.#ask('GET', pathFor(PATHS.vassalNetwork, name));
  }

  /** `[in|out] SRC DST` each, at most MAX_QUESTIONS of them. */
  checkFirewall(questions: readonly string[]): Promise<readonly FirewallAnswer[]> {
    return this.#ask('POST', PATHS.firewallCheck, {}, { questions });
  }

  plan(): Promise<readonly PlannedChange[]> {
    return this.#ask('GET', PATHS.plan);
  }

  stats(): Promise<EmperorStats> {
    return this.#ask('GET', PATHS.stats);
  }

  distros(): Promise<readonly DistroStatus[]> {
    return this.#ask('GET', PATHS.distros);
  }

  shutdown(options: { readonly stopVassals: boolean }): Promise<void> {
    return this.#ask('POST', PATHS.shutdown, { stopVassals: options.stopVassals ? '1' : '0' });
  }

  rescan(): Promise<void> {
    return this.#ask('POST', PATHS.rescan);
  }

  /** Past events, then new ones as they happen, until the server shuts down. */
  async *events(request: EventsRequest): AsyncGenerator<EmperorEvent> {
    const response = await this.#send({
      method: 'GET',
      path: PATHS.events,
      query: formatEventsQuery(request),
    });
    const reader = new EventReader();
    response.setEncoding('utf8');
    const chunks = response[Symbol.asyncIterator]();
    for (;;) {
      const { value, done } = await chunks.next().catch((error: unknown) => {
        // The server was killed in the middle of the stream.
        throw this.#failure(error);
      });
      if (done) return;
      yield* reader.read(String(value));
    }
  }

  async #ask<T>(method: Method, path: string, query: Query = {}, body?: unknown): Promise<T> {
    const response = await this.#send({ method, path, query, body });
    // The answer of our own server, whose shapes governor.ts declares for both sides.
    return JSON.parse(await this.#read(response)) as T;
  }

  async #send({ method, path, query, body }: Asking): Promise<IncomingMessage> {
    const search = new URLSearchParams(query).toString();
    const target = search === '' ? path : `${path}?${search}`;
    const text = body === undefined ? '' : JSON.stringify(body);
    const response = await this.#connect({ method, path: target, text });
    if ((response.statusCode ?? 500) < 400) return response;
    throw errorOf(await this.#read(response));
  }

  async #connect(target: Target): Promise<IncomingMessage> {
    try {
      return await open(this.socketPath, target);
    } catch (error) {
      throw this.#failure(error);
    }
  }

  async #read(response: IncomingMessage): Promise<string> {
    try {
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks).toString('utf8');
    } catch (error) {
      throw this.#failure(error);
    }
  }

  #failure(cause: unknown): EmperorError {
    const at = `Cannot reach the emperor at ${this.socketPath}`;
    if (isErrno(cause, 'ENOENT', 'ECONNREFUSED', 'ENOTDIR')) {
      const message = `${at}: none listens there; start it with \`emperor run --ini FILE\`, or name its socket with --socket or --ini`;
      return new EmperorError('not-reachable', message, { cause });
    }
    if (isErrno(cause, 'EACCES', 'EPERM')) {
      const message = `${at}: permission denied; use sudo, or join the group of \`socket-group\``;
      return new EmperorError('not-permitted', message, { cause });
    }
    if (isErrno(cause, 'ECONNRESET', 'EPIPE')) {
      return new EmperorError('not-reachable', `${at}: it ended meanwhile`, { cause });
    }
    return new EmperorError('not-reachable', `${at}: ${messageOf(cause)}`, { cause });
  }
}

interface Asking {
  readonly method: Method;
  readonly path: string;
  readonly query: Query;
  readonly body?: unknown;
}

interface Target {
  readonly method: Method;
  readonly path: string;
  /** JSON; empty: nothing is sent. */
  readonly text: string;
}

async function open(socketPath: string, { text, ...target }: Target): Promise<IncomingMessage> {
  const short = shortPath(socketPath);
  try {
    return await new Promise((resolve, reject) => {
      // Without a name Node works out one for TLS, which costs several milliseconds.
      const headers = text === '' ? {} : { 'content-type': 'application/json' };
      const options = { ...target, headers, socketPath: short.path, agent: false, servername: '' };
      const request = httpRequest(options, resolve);
      request.once('error', reject);
      request.end(text);
    });
  } finally {
    short.close();
  }
}

interface ErrorBody {
  readonly error?: {
    readonly code?: string;
    readonly message?: string;
    readonly diagnostics?: readonly Diagnostic[];
  };
}

function errorOf(text: string): EmperorError {
  const { error = {} } = parseBody(text);
  const { code = '', message = `the emperor answered ${text.slice(0, 200)}`, diagnostics } = error;
  return new EmperorError(isErrorCode(code) ? code : 'system-call', message, {
    ...(diagnostics ? { diagnostics } : {}),
  });
}

function parseBody(text: string): ErrorBody {
  try {
    return JSON.parse(text) as ErrorBody;
  } catch (error) {
    // Some other program's HTTP, such as a proxy in between.
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}
