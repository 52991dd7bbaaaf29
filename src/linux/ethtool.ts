/** Features of network devices (include/uapi/linux/ethtool.h), of this process's network namespace. */
import { closeSync } from 'node:fs';
import { addressOf, libcCall } from './libc.ts';

const SIOCETHTOOL = 0x8946;
const ETHTOOL_GSTRINGS = 0x1b;
const ETHTOOL_GSSET_INFO = 0x37;
const ETHTOOL_GFEATURES = 0x3a;
const ETHTOOL_SFEATURES = 0x3b;
const ETH_SS_FEATURES = 4;

/** struct ifreq: a name, then a pointer. */
const IFREQ_BYTES = 40;
const NAME_BYTES = 16;
const STRING_BYTES = 32;

const AF_INET = 2;
const SOCK_DGRAM_CLOEXEC = 0o2000002;

const socket = libcCall<[family: number, type: number, protocol: number]>(
  'int socket(int, int, int)',
);
const ioctl = libcCall<[fd: number, request: number, argument: Buffer]>(
  'int ioctl(int, unsigned long, void *)',
);

/**
 * Asks for a feature by ethtool's name for it, such as `tx-tcp-mangleid-segmentation`; returns false where the kernel
 * knows none of that name. It counts only while those are on that it needs. ENODEV: no such device. EPERM.
 */
export function setFeature(device: string, feature: string, isOn: boolean): boolean {
  const names = featureNames(device);
  const index = names.indexOf(feature);
  if (index < 0) return false;
  // Of each block of 32: which ones are meant, and whether they are wanted.
  const request = requestOf(ETHTOOL_SFEATURES, { count: blocksOf(names), itemBytes: 8 });
  const at = 8 + (index >>> 5) * 8;
  const bit = (1 << (index & 31)) >>> 0;
  request.writeUInt32LE(bit, at);
  request.writeUInt32LE(isOn ? bit : 0, at + 4);
  ask(device, request);
  return true;
}

/** True if the device has the feature, and it is on. ENODEV: no such device. */
export function hasFeature(device: string, feature: string): boolean {
  const names = featureNames(device);
  const index = names.indexOf(feature);
  if (index < 0) return false;
  // Of each block of 32: available, requested, active, never changed.
  const request = requestOf(ETHTOOL_GFEATURES, { count: blocksOf(names), itemBytes: 16 });
  ask(device, request);
  const active = request.readUInt32LE(8 + (index >>> 5) * 16 + 8);
  return ((active >>> (index & 31)) & 1) === 1;
}

function blocksOf(names: readonly string[]): number {
  return Math.ceil(names.length / 32);
}

/** The names of all features that the kernel knows; their places are the bits of the requests. */
function featureNames(device: string): readonly string[] {
  const info = Buffer.alloc(20);
  info.writeUInt32LE(ETHTOOL_GSSET_INFO, 0);
  info.writeUInt32LE(1 << ETH_SS_FEATURES, 8);
  ask(device, info);
  const count = info.readUInt32LE(16);
  const strings = Buffer.alloc(12 + count * STRING_BYTES);
  strings.writeUInt32LE(ETHTOOL_GSTRINGS, 0);
  strings.writeUInt32LE(ETH_SS_FEATURES, 4);
  strings.writeUInt32LE(count, 8);
  ask(device, strings);
  return Array.from({ length: count }, (_, index) => {
    const start = 12 + index * STRING_BYTES;
    return strings.toString('latin1', start, start + STRING_BYTES).replace(/\0.*$/s, '');
  });
}

/** A command, how many items follow, and the items. */
function requestOf(command: number, items: { readonly count: number; readonly itemBytes: number }) {
  const request = Buffer.alloc(8 + items.count * items.itemBytes);
  request.writeUInt32LE(command, 0);
  request.writeUInt32LE(items.count, 4);
  return request;
}

/** The kernel answers in `request`. */
function ask(device: string, request: Buffer): void {
  const interfaceRequest = Buffer.alloc(IFREQ_BYTES);
  interfaceRequest.write(device.slice(0, NAME_BYTES - 1), 0, 'latin1');
  interfaceRequest.writeBigUInt64LE(addressOf(request), NAME_BYTES);
  const fd = socket(AF_INET, SOCK_DGRAM_CLOEXEC, 0);
  try {
    ioctl(fd, SIOCETHTOOL, interfaceRequest);
  } finally {
    closeSync(fd);
  }
}
