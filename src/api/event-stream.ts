/** Events on the wire: server-sent events (WHATWG HTML, section 9.2), written and read. Pure. */
import type { EmperorEvent } from '../emperor/governor.ts';

export const EVENT_STREAM_TYPE = 'text/event-stream';

export function formatEvent(event: EmperorEvent): string {
  return `id: ${event.id}\nevent: ${event.event}\ndata: ${JSON.stringify(event)}\n\n`;
}

/** Collects chunks of a stream and returns the events that are complete. */
export class EventReader {
  #rest = '';

  read(chunk: string): readonly EmperorEvent[] {
    const blocks = (this.#rest + chunk).split('\n\n');
    this.#rest = blocks.pop() ?? '';
    return blocks.flatMap(parseBlock);
  }
}

/** A block without data is a comment or a heartbeat. */
function parseBlock(block: string): readonly EmperorEvent[] {
  const lines = block.split('\n').filter((line) => line.startsWith('data:'));
  if (lines.length === 0) return [];
  const text = lines.map((line) => line.slice('data:'.length).replace(/^ /, '')).join('\n');
  // Written by formatEvent on the other side of a socket that only the emperor can listen on.
  return [JSON.parse(text) as EmperorEvent];
}
