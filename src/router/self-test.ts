/**
 * Finds out whether this kernel takes packets of 64 KB from us: some have refused them, and some network cards' and
 * hypervisors' drivers never could (background: Linux e269d79c7d35 refused them all until 89add40066f9).
 */
import { writeSync } from 'node:fs';
import { isErrno, messageOf } from '../base/errors.ts';
import { ALL_OFFLOADS, setOffload, TCP_OFFLOADS, VNET_HEADER_BYTES } from '../linux/tun.ts';

/** `gso`: packets of 64 KB in one piece. `plain`: the kernel cuts them first. */
export type PacketMode = 'gso' | 'plain';

export interface SelfTest {
  readonly mode: PacketMode;
  /** Why it is not `gso`; null where it is. */
  readonly reason: string | null;
}

/** Tries the host's device, which must be up; nothing that is sent here arrives anywhere. */
export function selfTest(fd: number): SelfTest {
  try {
    setOffload(fd, TCP_OFFLOADS);
    writeSync(fd, largePacket());
    return { mode: 'gso', reason: null };
  } catch (error) {
    if (!isErrno(error, 'EINVAL', 'EOPNOTSUPP', 'EIO')) throw error;
    setOffload(fd, 0);
    return {
      mode: 'plain',
      reason: `the kernel refused a packet of two segments: ${messageOf(error)}`,
    };
  }
}

/**
 * Has the kernel leave to us what it can of a tun that takes large packets; returns what that is, a sum of OFFLOAD.
 * `release` is the kernel's, as uname(2) has it.
 */
export function offloadAll(fd: number, release: string): number {
  const wanted = spoilsDatagrams(release) ? TCP_OFFLOADS : ALL_OFFLOADS;
  try {
    setOffload(fd, wanted);
    return wanted;
  } catch (error) {
    // Before Linux 6.2 there is none for UDP.
    if (!isErrno(error, 'EINVAL')) throw error;
    setOffload(fd, TCP_OFFLOADS);
    return TCP_OFFLOADS;
  }
}

/** Linux 7.0 and 7.1 up to 7.1.4, and some 6.17 of Ubuntu, cut UDP datagrams wrongly (Linux 78effd8, 5f17ae0). */
export function spoilsDatagrams(release: string): boolean {
  return /^(6\.17|7\.0|7\.1)(?!\d)/.test(release);
}

const SEGMENT_BYTES = 1000;
const NEEDS_CSUM = 1;
const GSO_TCPV4 = 1;
const IPV4_BYTES = 20;
const TCP_BYTES = 20;

/** Two TCP segments in one piece from 0.0.0.0 to 0.0.0.0, which the host's stack drops as a martian. */
function largePacket(): Buffer {
  const length = IPV4_BYTES + TCP_BYTES + 2 * SEGMENT_BYTES;
  const bytes = Buffer.alloc(VNET_HEADER_BYTES + length);
  // struct virtio_net_hdr, little-endian on the machines we know: native is what the kernel wants.
  bytes.writeUInt8(NEEDS_CSUM, 0);
  bytes.writeUInt8(GSO_TCPV4, 1);
  bytes.writeUInt16LE(IPV4_BYTES + TCP_BYTES, 2);
  bytes.writeUInt16LE(SEGMENT_BYTES, 4);
  bytes.writeUInt16LE(IPV4_BYTES, 6);
  bytes.writeUInt16LE(16, 8);
  const packet = bytes.subarray(VNET_HEADER_BYTES);
  packet.writeUInt8(0x45, 0);
  packet.writeUInt16BE(length, 2);
  packet.writeUInt8(1, 8);
  packet.writeUInt8(6, 9);
  packet.writeUInt8(0x50, IPV4_BYTES + 12);
  packet.writeUInt8(0x10, IPV4_BYTES + 13);
  return bytes;
}
