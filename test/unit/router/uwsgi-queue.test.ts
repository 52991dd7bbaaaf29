import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { QUEUE_BYTES, SendQueue } from '../../../src/router/uwsgi-queue.ts';

describe('SendQueue', () => {
  test('gives back what was added, in order, however it is sent', () => {
    const step = fc.oneof(
      fc.record({ add: fc.integer({ min: 1, max: 8192 }) }),
      fc.record({ send: fc.integer({ min: 1, max: 40_000 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const queue = new SendQueue();
        let added = 0;
        let sent = 0;
        for (const each of steps) {
          if ('add' in each) {
            const room = queue.hasRoomFor(each.add);
            expect(room).toBe(added - sent + each.add <= QUEUE_BYTES);
            if (!room) continue;
            const bytes = Uint8Array.from(
              { length: each.add + 3 },
              (_, i) => (added + i - 3) & 255,
            );
            queue.append(bytes, 3, each.add);
            added += each.add;
          } else {
            const count = Math.min(each.send, queue.contiguous);
            const expected = Uint8Array.from({ length: count }, (_, i) => (sent + i) & 255);
            const there = queue.bytes.subarray(queue.head, queue.head + count);
            expect(Buffer.compare(there, expected)).toBe(0);
            queue.remove(count);
            sent += count;
          }
          expect(queue.pending).toBe(added - sent);
          expect(queue.bytes.length).toBe(QUEUE_BYTES);
        }
      }),
      { numRuns: 50 },
    );
  });

  test('forgets the connection before', () => {
    const queue = new SendQueue();
    queue.append(new Uint8Array(100), 0, 100);
    queue.remove(40);
    queue.clear();
    expect([queue.pending, queue.contiguous, queue.head]).toEqual([0, 0, 0]);
  });
});
