/**
 * Serves the routes over HTTP on the unix socket. The socket is bound under another name, given its owner
 * and mode, and renamed into place: nobody else can connect at any moment, a stale socket is replaced, and
 * the server that closes never removes the socket of its successor.
 */
import type { Socket } from 'node:net';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import { EmperorError, ERRORS, isErrno, messageOf } from '../base/errors.ts';
import { Scope } from '../base/scope.ts';
import type { Governor } from '../emperor/governor.ts';
import { EVENT_STREAM_TYPE, formatEvent } from './event-stream.ts';
import type { Query } from './query.ts';
import { type EventSource, parseName, ROUTES, type Route } from './routes.ts';
import { listenOn } from './socket.ts';

export interface ServerOptions {
  readonly governor: Governor;
  readonly socketPath: string;
  /** Group and mode of the socket; null keeps root's. */
  readonly group: number | null;
  readonly mode: number;
  /** Told about errors that are no EmperorError. */
  readonly onBug: (error: unknown) => void;
  readonly bounds?: Bounds;
}

export interface Bounds {
  /** How many may be connected; who comes then is hung up on. */
  readonly connections: number;
  /** How long a request may take to arrive, head and body. */
  readonly arrivalMs: number;
}

export interface ApiServer {
  /** Cuts streams and waits, lets other answers out, and ends. */
  close(): Promise<void>;
}

/** Each `wait` and each reader of events holds a connection; a panel may have some hundred. */
const BOUNDS: Bounds = { connections: 4096, arrivalMs: 10_000 };
/** Hardly a route takes a body; what a client sends all the same is bounded. */
const MAX_BODY_BYTES = 16 * 1024;
/** Long enough for any name, so that a wrong one is an unknown vassal and not an unknown route. */
const MAX_NAME_LENGTH = 1024;
/** A reader of events that is further behind is cut off. */
const MAX_UNREAD_BYTES = 4 * 1024 * 1024;
/** How long answers under way may take when the server closes. */
const CLOSE_MS = 1000;
/** No route has a schema; fastify would load its compilers (ajv and others) all the same. */
const NO_SCHEMAS = {
  compilersFactory: { buildValidator: refuseSchema, buildSerializer: refuseSchema },
};

export async function startServer(options: ServerOptions): Promise<ApiServer> {
  const requests = new OpenRequests();
  const { connections, arrivalMs } = options.bounds ?? BOUNDS;
  const app = fastify({
    requestTimeout: arrivalMs,
    http: { headersTimeout: arrivalMs, connectionsCheckingInterval: arrivalMs / 4 },
    bodyLimit: MAX_BODY_BYTES,
    exposeHeadRoutes: false,
    schemaController: NO_SCHEMAS,
    routerOptions: { maxParamLength: MAX_NAME_LENGTH },
    clientErrorHandler: refuseJunk,
    frameworkErrors: (error, _, reply) => void sendError(reply, error, options.onBug),
  });
  app.setNotFoundHandler((request, reply) => sendError(reply, noRoute(request), options.onBug));
  app.setErrorHandler((error, _, reply) => sendError(reply, error, options.onBug));
  app.setReplySerializer((payload) => JSON.stringify(payload, bytesAsBase64));
  for (const route of ROUTES) addRoute(app, { route, requests, governor: options.governor });
  await app.ready();
  app.server.maxConnections = connections;
  const scope = new Scope();
  await listenOn(app.server, options, scope);
  return {
    async close() {
      requests.abortAll();
      await closeServer(app);
      await scope.close();
    },
  };
}

function refuseSchema(): never {
  throw new Error('A route has a schema, and the compilers of schemas are not loaded');
}

async function closeServer(app: FastifyInstance): Promise<void> {
  const closed = new Promise<void>((resolve) => void app.server.close(() => resolve()));
  app.server.closeIdleConnections();
  const timer = setTimeout(() => app.server.closeAllConnections(), CLOSE_MS);
  await closed;
  clearTimeout(timer);
  await app.close();
}

interface RouteSetting {
  readonly route: Route;
  readonly requests: OpenRequests;
  readonly governor: Governor;
}

function addRoute(app: FastifyInstance, { route, requests, governor }: RouteSetting): void {
  app.route({
    method: route.method,
    url: route.path,
    bodyLimit: (route.kind === 'json' ? route.maxBodyBytes : undefined) ?? MAX_BODY_BYTES,
    handler: async (request, reply) => {
      const query = queryOf(request);
      const signal = requests.open(reply);
      if (route.kind === 'events') {
        sendEvents(reply, route.open(governor, query), signal);
        return reply;
      }
      if (route.kind === 'text') return reply.type(route.type).send(await route.answer(governor));
      const name = nameOf(request);
      const { body } = request;
      const answer = await route.answer(governor, { name, query, body, signal });
      return reply.type('application/json').send(answer ?? {});
    },
  });
}

function nameOf({ params }: FastifyRequest): string {
  const { name } = params as { readonly name?: string };
  return name === undefined ? '' : parseName(name);
}

/** A key that is given twice arrives as a list; the last one counts. */
function queryOf(request: FastifyRequest): Query {
  const raw = request.query as Readonly<Record<string, string | readonly string[]>>;
  return Object.fromEntries(
    Object.entries(raw).map(([key, value]) => [
      key,
      typeof value === 'string' ? value : (value.at(-1) ?? ''),
    ]),
  );
}

/** Requests that are being answered, each with a signal that ends it. */
class OpenRequests {
  readonly #open = new Set<AbortController>();

  open(reply: FastifyReply): AbortSignal {
    const controller = new AbortController();
    this.#open.add(controller);
    reply.raw.once('close', () => {
      this.#open.delete(controller);
      controller.abort();
    });
    return controller.signal;
  }

  abortAll(): void {
    for (const controller of [...this.#open]) controller.abort();
  }
}

function sendEvents(reply: FastifyReply, source: EventSource, signal: AbortSignal): void {
  reply.hijack();
  const { raw } = reply;
  // Whoever leaves while we write is gone; the signal tells.
  raw.on('error', () => {});
  raw.writeHead(200, { 'content-type': EVENT_STREAM_TYPE, 'cache-control': 'no-store' });
  raw.flushHeaders();
  const unsubscribe = source.subscribe?.((event) => {
    if (raw.writableLength > MAX_UNREAD_BYTES) raw.destroy();
    else raw.write(formatEvent(event));
  });
  raw.write(source.past.map(formatEvent).join(''));
  if (!unsubscribe) {
    raw.end();
    return;
  }
  signal.addEventListener('abort', () => {
    unsubscribe();
    raw.end();
  });
}

function noRoute({ method, url }: FastifyRequest): EmperorError {
  return new EmperorError('no-such-route', `There is no ${method} ${url}; see docs/panel.md`);
}

/** Answers `{error:{code,message,diagnostics?}}`; what is no EmperorError is told as a bug. */
function sendError(reply: FastifyReply, error: unknown, onBug: (error: unknown) => void) {
  const { status, body } = answerOf(error);
  if (status === 500 && !(error instanceof EmperorError)) onBug(error);
  return reply.code(status).type('application/json').send({ error: body });
}

/** What is no HTTP, a header too long, or what does not come: answered by hand, since there is no request to reply to. */
function refuseJunk(error: Error, socket: Socket): void {
  if (!socket.writable || isErrno(error, 'ECONNRESET')) {
    socket.destroy();
    return;
  }
  const body = JSON.stringify({ error: { code: 'bad-usage', message: messageOf(error) } });
  const head = [
    'HTTP/1.1 400 Bad Request',
    'connection: close',
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}

function answerOf(error: unknown): { readonly status: number; readonly body: object } {
  if (error instanceof EmperorError) {
    const { code, message, diagnostics } = error;
    const status = ERRORS[code].http;
    return {
      status,
      body: diagnostics.length > 0 ? { code, message, diagnostics } : { code, message },
    };
  }
  const { statusCode } = error as { readonly statusCode?: unknown };
  const isClients = typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500;
  if (isClients)
    return { status: statusCode, body: { code: 'bad-usage', message: messageOf(error) } };
  return { status: 500, body: { code: 'system-call', message: messageOf(error) } };
}

/** The seccomp filter of a jail plan is bytes. */
function bytesAsBase64(_: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value;
}
