/** What stands behind the `?` of a request: hostile text until parsed here, and the client's side of it. Pure. */
import { EmperorError } from '../base/errors.ts';
import { WAIT_CONDITIONS, type WaitCondition, type WaitRequest } from '../emperor/governor.ts';

export type Query = Readonly<Record<string, string>>;

export interface EventsRequest {
  /** ISO 8601; past events from then on come first. */
  readonly since: string | null;
  /** False: the past only. */
  readonly follow: boolean;
}

const DEFAULT_WAIT_MS = 30_000;
const MAX_WAIT_MS = 86_400_000;

/** Parses `for=a,b&sha256=…&timeoutMs=…`; throws `bad-usage`. */
export function parseWaitQuery(query: Query): WaitRequest {
  const conditions = (query.for ?? '').split(',').map(conditionOf);
  const timeoutMs = integerOf('timeoutMs', query.timeoutMs, {
    absent: DEFAULT_WAIT_MS,
    max: MAX_WAIT_MS,
  });
  const { sha256 } = query;
  if (sha256 === undefined) return { conditions, timeoutMs };
  if (!/^[0-9a-f]{64}$/.test(sha256)) throw badQuery('sha256', sha256, 'use 64 hex digits');
  return { conditions, timeoutMs, sha256 };
}

export function formatWaitQuery(request: WaitRequest): Query {
  return {
    for: request.conditions.join(','),
    timeoutMs: String(request.timeoutMs),
    ...(request.sha256 === undefined ? {} : { sha256: request.sha256 }),
  };
}

function conditionOf(text: string): WaitCondition {
  const known = WAIT_CONDITIONS.find((condition) => condition === text);
  if (known) return known;
  throw badQuery('for', text, `use ${WAIT_CONDITIONS.join(', ')}`);
}

/** Parses `since=ISO&follow=0`; throws `bad-usage`. */
export function parseEventsQuery(query: Query): EventsRequest {
  const { since } = query;
  if (since !== undefined && Number.isNaN(Date.parse(since))) {
    throw badQuery('since', since, 'use ISO 8601, such as 2026-01-02T03:04:05Z');
  }
  return { since: since ?? null, follow: flagOf('follow', query.follow, true) };
}

export function formatEventsQuery(request: EventsRequest): Query {
  return {
    ...(request.since === null ? {} : { since: request.since }),
    follow: request.follow ? '1' : '0',
  };
}

/** Parses `stopVassals=1`; throws `bad-usage`. */
export function parseShutdownQuery(query: Query): { readonly stopVassals: boolean } {
  return { stopVassals: flagOf('stopVassals', query.stopVassals, false) };
}

/** Longer than any question that has an answer. */
export const MAX_QUESTION_LENGTH = 200;
export const MAX_QUESTIONS = 5000;

/** Parses the body `{"questions": ["[in|out] SRC DST", …]}`; throws `bad-usage`. */
export function parseQuestions(body: unknown): readonly string[] {
  const { questions } = (body ?? {}) as { readonly questions?: unknown };
  const isGood =
    Array.isArray(questions) &&
    questions.length <= MAX_QUESTIONS &&
    questions.every((each) => typeof each === 'string' && each.length <= MAX_QUESTION_LENGTH);
  if (isGood) return questions;
  throw new EmperorError(
    'bad-usage',
    `Cannot read the body: send {"questions": […]}, at most ${MAX_QUESTIONS} texts of at most ${MAX_QUESTION_LENGTH} characters`,
  );
}

function flagOf(name: string, text: string | undefined, absent: boolean): boolean {
  if (text === undefined) return absent;
  if (text === '1' || text === 'true') return true;
  if (text === '0' || text === 'false') return false;
  throw badQuery(name, text, 'use 1 or 0');
}

function integerOf(
  name: string,
  text: string | undefined,
  bounds: { readonly absent: number; readonly max: number },
): number {
  if (text === undefined) return bounds.absent;
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value <= bounds.max) return value;
  throw badQuery(name, text, `use a whole number from 0 to ${bounds.max}`);
}

function badQuery(name: string, text: string, remedy: string): EmperorError {
  return new EmperorError(
    'bad-usage',
    `Cannot read ${name}: ${JSON.stringify(text)} is none; ${remedy}`,
  );
}
