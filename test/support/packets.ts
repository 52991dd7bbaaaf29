/** Makes packets for tests: whole ones, with whatever addresses. */
import { parseAddress } from '../../src/firewall/address.ts';

/** An IP packet of the family of `src`, whose payload is `payload` (UDP by its protocol number, without a checksum). */
export function packetOf(options: {
  readonly src: string;
  readonly dst: string;
  readonly payload?: Uint8Array;
  readonly protocol?: number;
  readonly ttl?: number;
}): Buffer {
  const { src, dst, payload = Buffer.alloc(8), protocol = 17, ttl = 64 } = options;
  const from = bytesOf(src);
  const to = bytesOf(dst);
  if (from.length === 4) {
    const header = Buffer.alloc(20);
    header.writeUInt8(0x45, 0);
    header.writeUInt16BE(20 + payload.length, 2);
    header.writeUInt8(ttl, 8);
    header.writeUInt8(protocol, 9);
    from.copy(header, 12);
    to.copy(header, 16);
    header.writeUInt16BE(checksum(header), 10);
    return Buffer.concat([header, payload]);
  }
  const header = Buffer.alloc(40);
  header.writeUInt8(0x60, 0);
  header.writeUInt16BE(payload.length, 4);
  header.writeUInt8(protocol, 6);
  header.writeUInt8(ttl, 7);
  from.copy(header, 8);
  to.copy(header, 24);
  return Buffer.concat([header, payload]);
}

/** The internet checksum (RFC 1071). */
export function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i + 1 < bytes.length; i += 2) sum += bytes.readUInt16BE(i);
  if (bytes.length % 2 === 1) sum += (bytes.at(-1) ?? 0) << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function bytesOf(text: string): Buffer {
  const address = parseAddress(text);
  if (!address) throw new Error(`no address: ${text}`);
  const bytes = Buffer.alloc(address.words.length * 4);
  for (const [i, word] of address.words.entries()) bytes.writeUInt32BE(word, i * 4);
  return bytes;
}
