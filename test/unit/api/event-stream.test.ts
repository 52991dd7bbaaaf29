import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EventReader, formatEvent } from '../../../src/api/event-stream.ts';
import type { EmperorEvent } from '../../../src/emperor/governor.ts';

const event = (id: number, message: string): EmperorEvent => ({
  id,
  at: '2026-01-02T03:04:05.000Z',
  event: 'state',
  vassal: 'blog',
  message,
});

test('an event is an SSE message with id, event and data', () => {
  expect(formatEvent(event(7, 'a\nb'))).toMatch(/^id: 7\nevent: state\ndata: \{.*a\\nb.*\}\n\n$/);
});

test('events are read back whole, however the stream is cut', () => {
  fc.assert(
    fc.property(fc.array(fc.string()), fc.integer({ min: 1, max: 50 }), (messages, size) => {
      const events = messages.map((message, index) => event(index, message));
      const stream = events.map(formatEvent).join('');
      const reader = new EventReader();
      const read: EmperorEvent[] = [];
      for (let at = 0; at < stream.length; at += size) {
        read.push(...reader.read(stream.slice(at, at + size)));
      }
      expect(read).toEqual(events);
    }),
  );
});

test('comments and heartbeats are no events', () => {
  expect(new EventReader().read(`: hello\n\n${formatEvent(event(1, ''))}`)).toHaveLength(1);
});
