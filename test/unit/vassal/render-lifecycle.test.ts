import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { LIFECYCLE } from '../../../src/vassal/lifecycle.ts';
import { renderLifecycle } from '../../../src/vassal/render-lifecycle.ts';

const PAGE = join(import.meta.dirname, '../../../docs/architecture.md');

describe('renderLifecycle()', () => {
  test('draws every pair of the table once', () => {
    const pairs = Object.values(LIFECYCLE).flatMap((row) => Object.keys(row));
    const rows = renderLifecycle().trimEnd().split('\n').slice(2);
    expect(rows).toHaveLength(pairs.length);
    expect(rows[0]).toBe('| **stopped** | begin | starting | launch |');
  });

  test('is what docs/architecture.md shows', () => {
    const shown = /<!-- lifecycle: .*? -->\n([\s\S]*?)<!-- \/lifecycle -->/.exec(
      readFileSync(PAGE, 'utf8'),
    );
    expect(shown?.[1], 'run `npm run docs`').toBe(renderLifecycle());
  });
});
