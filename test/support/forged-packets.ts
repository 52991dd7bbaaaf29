/** Datagrams of UDP with whatever addresses, options and headers a forger likes, whole and with right checksums. */
import { checksum, packetOf } from './packets.ts';

const UDP = 17;
const UDP_BYTES = 8;
const IPV4_BYTES = 20;

export interface Forged {
  readonly src: string;
  readonly dst: string;
  readonly text: string;
  readonly port?: number;
  /** Of IPv4; a multiple of 4 bytes. */
  readonly options?: Uint8Array;
}

/** A datagram to `port` (9000) whose data is `text`. */
export function forgedDatagram({ src, dst, text, port = 9000, options }: Forged): Buffer {
  const data = Buffer.from(text);
  const udp = Buffer.alloc(UDP_BYTES + data.length);
  udp.writeUInt16BE(9999, 0);
  udp.writeUInt16BE(port, 2);
  udp.writeUInt16BE(udp.length, 4);
  data.copy(udp, UDP_BYTES);
  const bare = packetOf({ src, dst, payload: udp, protocol: UDP });
  const isFour = bare.readUInt8(0) >> 4 === 4;
  // What the checksum covers besides: both addresses, the length and the protocol.
  const addresses = isFour ? bare.subarray(12, 20) : bare.subarray(8, 40);
  const tail = Buffer.from([0, UDP, udp.length >> 8, udp.length & 255]);
  udp.writeUInt16BE(checksum(Buffer.concat([addresses, tail, udp])) || 0xffff, 6);
  const packet = packetOf({ src, dst, payload: udp, protocol: UDP });
  return options ? withOptions(packet, options) : packet;
}

function withOptions(packet: Buffer, options: Uint8Array): Buffer {
  const header = Buffer.concat([packet.subarray(0, IPV4_BYTES), options]);
  const whole = Buffer.concat([header, packet.subarray(IPV4_BYTES)]);
  header.writeUInt8(0x40 | (header.length / 4), 0);
  header.writeUInt16BE(whole.length, 2);
  header.writeUInt16BE(0, 10);
  header.writeUInt16BE(checksum(header), 10);
  header.copy(whole);
  return whole;
}

/** The option by which a sender names the way: to the packet's destination first, then to `then`. */
export function sourceRoute(kind: 'loose' | 'strict', then: string): Uint8Array {
  const bytes = then.split('.').map(Number);
  return Uint8Array.from([kind === 'loose' ? 131 : 137, 7, 4, ...bytes, 1]);
}

/** A packet of IPv4 without options as fragments, of which the first carries `firstBytes` (a multiple of 8) of its data. */
export function fragmentsOf(packet: Buffer, firstBytes: number): readonly Buffer[] {
  const data = packet.subarray(IPV4_BYTES);
  return [
    fragment(packet, { data: data.subarray(0, firstBytes), at: 0, isLast: false }),
    fragment(packet, { data: data.subarray(firstBytes), at: firstBytes, isLast: true }),
  ];
}

const MORE_FRAGMENTS = 0x2000;

function fragment(
  packet: Buffer,
  { data, at, isLast }: { readonly data: Buffer; readonly at: number; readonly isLast: boolean },
): Buffer {
  const whole = Buffer.concat([packet.subarray(0, IPV4_BYTES), data]);
  whole.writeUInt16BE(whole.length, 2);
  whole.writeUInt16BE(0x4711, 4);
  whole.writeUInt16BE((isLast ? 0 : MORE_FRAGMENTS) | (at / 8), 6);
  whole.writeUInt16BE(0, 10);
  whole.writeUInt16BE(checksum(whole.subarray(0, IPV4_BYTES)), 10);
  return whole;
}
