import { expect, test } from 'vitest';
import { renderMetrics } from '../../../src/api/metrics.ts';
import { emperorStats, vassalStatus } from '../../support/governor.ts';

test('every metric has one HELP and one TYPE before its samples', () => {
  const text = renderMetrics(
    emperorStats({ counters: { applied: 3 } }),
    [vassalStatus('blog')],
    null,
  );
  const names = [...text.matchAll(/^# TYPE (\S+) (?:gauge|counter)$/gm)].map(([, name]) => name);
  expect(new Set(names).size).toBe(names.length);
  for (const line of text.trimEnd().split('\n')) {
    expect(line).toMatch(/^# (HELP|TYPE) emperor_\w+ \S|^emperor_\w+(\{\w+="[^"]*"\})? [\d.e-]+$/);
  }
  expect(text).toMatch(/^emperor_events_total\{event="applied"\} 3$/m);
  expect(text).toMatch(/^emperor_event_loop_delay_seconds\{quantile="0.99"\} 0.02$/m);
});

test('a vassal that does not run is down, and its restarts count on', () => {
  const stopped = vassalStatus('shop', { state: 'backoff', restarts: 7 });
  const text = renderMetrics(emperorStats(), [stopped], null);
  expect(text).toMatch(/^emperor_vassal_up\{vassal="shop"\} 0$/m);
  expect(text).toMatch(/^emperor_vassal_restarts_total\{vassal="shop"\} 7$/m);
});

test('labels are escaped', () => {
  const text = renderMetrics(emperorStats({ version: 'a"b\\c\nd' }), [], null);
  expect(text).toContain('emperor_info{version="a\\"b\\\\c\\nd"} 1');
});
