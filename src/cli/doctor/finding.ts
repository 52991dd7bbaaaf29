/** What the doctor says of one thing. */
export interface Finding {
  readonly topic: string;
  readonly verdict: 'ok' | 'warning' | 'problem';
  readonly message: string;
  /** What to do; null where nothing is to be done. */
  readonly fix: string | null;
}

export const ok = (topic: string, message: string): Finding => ({
  topic,
  verdict: 'ok',
  message,
  fix: null,
});
export const warning = (topic: string, message: string, fix: string): Finding => ({
  topic,
  verdict: 'warning',
  message,
  fix,
});
export const problem = (topic: string, message: string, fix: string): Finding => ({
  topic,
  verdict: 'problem',
  message,
  fix,
});
