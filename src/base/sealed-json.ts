/**
 * JSON objects with a checksum as their last key, `crc`: what a disk has changed since is told from what was written.
 * An older emperor wrote them without; then the text is believed.
 */
import { crc32 } from 'node:zlib';

const SEALED = /^(.*),"crc":"(.{8})"\}$/s;

/** `object`, which has one key at least, on one line. */
export function sealedJson(object: Readonly<Record<string, unknown>>): string {
  const body = JSON.stringify(object).slice(0, -1);
  return `${body},"crc":"${checksumOf(body)}"}`;
}

/** The object without its checksum; undefined where that is another's, or the text is no JSON. */
export function parseSealed(text: string): unknown {
  const [, body, checksum] = SEALED.exec(text) ?? [];
  if (body !== undefined && checksumOf(body) !== checksum) return undefined;
  try {
    return JSON.parse(body === undefined ? text : `${body}}`);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function checksumOf(text: string): string {
  return crc32(text).toString(16).padStart(8, '0');
}
