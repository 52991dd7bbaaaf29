/**
 * The one table of routes: what each path answers, over the Governor. server.ts makes HTTP of it.
 * Handlers get parsed names and a signal that is aborted when nobody waits for the answer any more.
 */
import { EmperorError } from '../base/errors.ts';
import { isVassalName } from '../config/names.ts';
import {
  type EmperorEvent,
  type Governor,
  type NetworkStatus,
  VASSAL_ACTIONS,
  type WaitResult,
} from '../emperor/governor.ts';
import { METRICS_TYPE, renderMetrics } from './metrics.ts';
import { actionPath, PATHS } from './paths.ts';
import {
  parseEventsQuery,
  parseQuestions,
  parseShutdownQuery,
  parseWaitQuery,
  type Query,
} from './query.ts';

export interface RouteRequest {
  /** The vassal in the path, valid; empty where the path has none. */
  readonly name: string;
  readonly query: Query;
  /** As JSON; undefined where none was sent. */
  readonly body: unknown;
  /** Aborted when the client leaves or the server closes. */
  readonly signal: AbortSignal;
}

interface RouteBase {
  readonly method: 'GET' | 'POST';
  readonly path: string;
}

export type Route =
  | (RouteBase & {
      readonly kind: 'json';
      /** Of what is sent with it; a small one if not given. */
      readonly maxBodyBytes?: number;
      /** Undefined is answered as `{}`. */
      readonly answer: (governor: Governor, request: RouteRequest) => unknown;
    })
  | (RouteBase & {
      readonly kind: 'text';
      readonly type: string;
      readonly answer: (governor: Governor) => Promise<string>;
    })
  | (RouteBase & {
      readonly kind: 'events';
      readonly open: (governor: Governor, query: Query) => EventSource;
    });

export interface EventSource {
  readonly past: readonly EmperorEvent[];
  /** Null where only the past was asked for. */
  readonly subscribe: Governor['subscribe'] | null;
}

type Answer = (governor: Governor, request: RouteRequest) => unknown;

const get = (path: string, answer: Answer): Route => ({
  method: 'GET',
  path,
  kind: 'json',
  answer,
});
const post = (path: string, answer: Answer): Route => ({
  method: 'POST',
  path,
  kind: 'json',
  answer,
});

/** Of the largest list of questions. */
const MAX_QUESTIONS_BYTES = 2 * 1024 * 1024;

export const ROUTES: readonly Route[] = [
  get(PATHS.vassals, (governor) => governor.list()),
  get(PATHS.vassal, (governor, { name }) => governor.status(name)),
  ...VASSAL_ACTIONS.map((action) =>
    post(actionPath(action), (governor, { name }) => governor.act(name, action)),
  ),
  post(PATHS.purge, (governor, { name }) => governor.purge(name)),
  get(PATHS.wait, waitFor),
  get(PATHS.file, (governor, { name }) => governor.text(name)),
  get(PATHS.resolved, (governor, { name }) => governor.resolved(name)),
  get(PATHS.exec, (governor, { name }) => governor.execTarget(name)),
  get(PATHS.jailPlan, (governor, { name }) => governor.jailPlan(name)),
  get(PATHS.vassalNetwork, (governor, { name }) => governor.vassalNetwork(name)),
  get(PATHS.network, networkOf),
  {
    method: 'POST',
    path: PATHS.firewallCheck,
    kind: 'json',
    maxBodyBytes: MAX_QUESTIONS_BYTES,
    answer: (governor, { body }) => governor.checkFirewall(parseQuestions(body)),
  },
  get(PATHS.vassalCron, (governor, { name }) => governor.cronJobs(name)),
  get(PATHS.cron, (governor) => governor.cronJobs()),
  get(PATHS.plan, (governor) => governor.plan()),
  get(PATHS.stats, (governor) => governor.stats()),
  get(PATHS.distros, (governor) => governor.distros()),
  post(PATHS.shutdown, (governor, { query }) => governor.shutdown(parseShutdownQuery(query))),
  post(PATHS.rescan, (governor) => governor.rescan()),
  { method: 'GET', path: PATHS.events, kind: 'events', open: openEvents },
  {
    method: 'GET',
    path: PATHS.metrics,
    kind: 'text',
    type: METRICS_TYPE,
    answer: metricsOf,
  },
];

/** Returns the name in a path; what cannot be one is unknown. Throws `no-such-vassal`. */
export function parseName(text: string): string {
  if (isVassalName(text)) return text;
  throw new EmperorError(
    'no-such-vassal',
    `There is no vassal ${JSON.stringify(text)}: small letters, digits and ._- make a name`,
  );
}

async function networkOf(governor: Governor): Promise<NetworkStatus> {
  const network = await governor.network();
  if (network) return network;
  throw new EmperorError(
    'not-supported',
    'Cannot show the network: there is none; `tuntap-router` of emperor.ini makes one',
  );
}

/** The router is asked once for all. */
async function metricsOf(governor: Governor): Promise<string> {
  const [stats, vassals, network] = await Promise.all([
    governor.stats(),
    governor.list(),
    governor.network(),
  ]);
  return renderMetrics(stats, vassals, { network, cron: governor.cronJobs() });
}

function waitFor(governor: Governor, request: RouteRequest): Promise<WaitResult> {
  const { name, query, signal } = request;
  const wanted = parseWaitQuery(query);
  const left = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(shuttingDown()), { once: true });
  });
  return Promise.race([governor.wait(name, wanted, signal), left]);
}

function shuttingDown(): EmperorError {
  return new EmperorError('not-reachable', 'Cannot wait any longer: the emperor is shutting down');
}

function openEvents(governor: Governor, query: Query): EventSource {
  const { since, follow } = parseEventsQuery(query);
  const isPastWanted = since !== null || !follow;
  return {
    past: isPastWanted ? governor.events(since ?? undefined) : [],
    subscribe: follow ? (listener) => governor.subscribe(listener) : null,
  };
}
