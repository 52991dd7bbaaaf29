/**
 * tun devices (Documentation/networking/tuntap.rst, include/uapi/linux/if_tun.h): packets of IP behind a
 * struct virtio_net_hdr of 12 bytes. Made in the network namespace of this process, never in another's.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { ErrnoError } from './errno.ts';
import { libcCall } from './libc.ts';

const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const TUNGETIFF = 0x800454d2;
const TUNGETVNETHDRSZ = 0x800454d7;
const TUNSETVNETHDRSZ = 0x400454d8;

const EINVAL = 22;

const IFF_TUN = 0x1;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;

/** struct ifreq: a name, then flags. */
const IFREQ_BYTES = 40;
const NAME_BYTES = 16;

/** Bytes in front of each packet, read and written. */
export const VNET_HEADER_BYTES = 12;

/** What the kernel may leave to the reader (TUN_F_*); none of the others counts without `checksum`. */
export const OFFLOAD = {
  checksum: 0x01,
  tso4: 0x02,
  tso6: 0x04,
  tsoEcn: 0x08,
  uso4: 0x20,
  uso6: 0x40,
} as const;

/** Large TCP packets whole, as init sets up the tun of a vassal. */
export const TCP_OFFLOADS = OFFLOAD.checksum | OFFLOAD.tso4 | OFFLOAD.tso6 | OFFLOAD.tsoEcn;

/** Also what a program sends as many UDP datagrams in one piece (udp(7), UDP_SEGMENT); since Linux 6.2. */
export const ALL_OFFLOADS = TCP_OFFLOADS | OFFLOAD.uso4 | OFFLOAD.uso6;

const ioctlTo = libcCall<[fd: number, request: number, argument: Buffer]>(
  'int ioctl(int, unsigned long, void *)',
);
const ioctlWith = libcCall<[fd: number, request: number, argument: number]>(
  'int ioctl(int, unsigned long, unsigned long)',
);

/**
 * Makes the tun `name`, without addresses and down; returns its descriptor, which does not block and whose last
 * close removes it. ENOENT: no /dev/net/tun. EPERM: no CAP_NET_ADMIN. EBUSY, EINVAL: the name is somebody else's.
 */
export function createTun(options: { readonly name: string; readonly offload: number }): number {
  const fd = openTun(options.name, IFF_TUN | IFF_NO_PI | IFF_VNET_HDR);
  try {
    setVnetHeaderBytes(fd, VNET_HEADER_BYTES);
    setOffload(fd, options.offload);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** As createTun(), but packets have nothing in front of them and are never larger than the MTU. */
export function createPlainTun(name: string): number {
  return openTun(name, IFF_TUN | IFF_NO_PI);
}

function openTun(name: string, flags: number): number {
  const request = requestOf(name);
  request.writeUInt16LE(flags, NAME_BYTES);
  const fd = openSync('/dev/net/tun', constants.O_RDWR | constants.O_NONBLOCK);
  try {
    ioctlTo(fd, TUNSETIFF, request);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Sets what the kernel may leave to the reader, a sum of OFFLOAD. EINVAL: it does not know one of them. */
export function setOffload(fd: number, offload: number): void {
  ioctlWith(fd, TUNSETOFFLOAD, offload);
}

/** Sets how long the header in front of each packet is. EINVAL: shorter than the kernel's own 10 bytes. */
export function setVnetHeaderBytes(fd: number, bytes: number): void {
  const value = Buffer.alloc(4);
  value.writeInt32LE(bytes);
  ioctlTo(fd, TUNSETVNETHDRSZ, value);
}

/** Name of the interface, in its own network namespace. ENOTTY: `fd` is no tun. EBADFD: it is of none any more. */
export function tunName(fd: number): string {
  const answer = interfaceOf(fd);
  const end = answer.indexOf(0);
  return answer.toString('utf8', 0, end < 0 ? NAME_BYTES : Math.min(end, NAME_BYTES));
}

/** Tells whether `fd` is a tun that reads and writes packets of IP behind a header of VNET_HEADER_BYTES. */
export function hasVnetHeader(fd: number): boolean {
  const flags = interfaceOf(fd).readUInt16LE(NAME_BYTES);
  const wanted = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  if ((flags & wanted) !== wanted) return false;
  const bytes = Buffer.alloc(4);
  ioctlTo(fd, TUNGETVNETHDRSZ, bytes);
  return bytes.readInt32LE(0) === VNET_HEADER_BYTES;
}

function interfaceOf(fd: number): Buffer {
  const answer = Buffer.alloc(IFREQ_BYTES);
  ioctlTo(fd, TUNGETIFF, answer);
  return answer;
}

function requestOf(name: string): Buffer {
  const length = Buffer.byteLength(name);
  if (length === 0 || length >= NAME_BYTES) throw new ErrnoError('ioctl', EINVAL);
  const request = Buffer.alloc(IFREQ_BYTES);
  request.write(name);
  return request;
}
