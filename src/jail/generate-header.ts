/** Prints the protocol table as a C header: `node dist/jail/generate-header.js > build/native/wire.h`. */
import {
  EXACT,
  MAX_FRAME,
  MOUNT,
  NAMESPACE,
  NOTIFY,
  OP,
  PROTOCOL_VERSION,
  STATE,
  STDIO,
  TAG,
  VERB,
} from './wire.ts';

const TABLES = { VERB, TAG, STDIO, NOTIFY, STATE, OP, MOUNT, EXACT, NAMESPACE } as const;

/** The header's text; every name of a table becomes TABLE_NAME. */
export function wireHeader(): string {
  const lines = Object.entries(TABLES).flatMap(([table, values]) =>
    Object.entries(values).map(
      ([name, value]) => `#define ${table}_${name.toUpperCase()} ${value}`,
    ),
  );
  return [
    '/* Generated from src/jail/wire.ts. */',
    '#ifndef WIRE_H',
    '#define WIRE_H',
    `#define PROTOCOL_VERSION ${PROTOCOL_VERSION}`,
    `#define MAX_FRAME ${MAX_FRAME}`,
    ...lines,
    '#endif',
    '',
  ].join('\n');
}

if (import.meta.filename === process.argv[1]) process.stdout.write(wireHeader());
