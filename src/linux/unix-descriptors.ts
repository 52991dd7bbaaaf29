/**
 * Descriptors that travel beside bytes over a unix socket (unix(7), SCM_RIGHTS), on sockets that libuv never
 * touches: it would close what comes. Nothing here blocks, and what is received is closed on exec.
 */
import { closeSync } from 'node:fs';
import { ErrnoError } from './errno.ts';
import { addressOf, libcCall } from './libc.ts';

const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_CTRUNC = 0x8;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
const EMSGSIZE = 90;

/** struct msghdr, iovec and cmsghdr of 64-bit Linux. */
const MSGHDR = {
  bytes: 56,
  vector: 16,
  vectors: 24,
  control: 32,
  controlBytes: 40,
  flags: 48,
} as const;
const IOVEC_BYTES = 16;
const CMSG_HEAD_BYTES = 16;
/** As many as init and launcher take with one frame. */
const MAX_DESCRIPTORS = 4;

const sendmsg = libcCall<[fd: number, message: Buffer, flags: number]>(
  'long sendmsg(int, void *, int)',
);
const recvmsg = libcCall<[fd: number, message: Buffer, flags: number]>(
  'long recvmsg(int, void *, int)',
);

/** One of each for all calls, none of which outlives its turn. */
const message = Buffer.alloc(MSGHDR.bytes);
const vector = Buffer.alloc(IOVEC_BYTES);
const control = Buffer.alloc(CMSG_HEAD_BYTES + 4 * MAX_DESCRIPTORS);

/**
 * Sends `bytes` with at most four descriptors, which stay open here; returns how many bytes went. EAGAIN: no
 * room. EPIPE: the peer has gone. ETOOMANYREFS: too many descriptors of this user are on their way.
 */
export function sendWithDescriptors(fd: number, bytes: Uint8Array, fds: readonly number[]): number {
  if (fds.length > MAX_DESCRIPTORS) throw new ErrnoError('sendmsg', EMSGSIZE);
  const controlBytes = fds.length === 0 ? 0 : CMSG_HEAD_BYTES + 4 * fds.length;
  control.writeBigUInt64LE(BigInt(controlBytes), 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  for (const [index, one] of fds.entries()) control.writeInt32LE(one, CMSG_HEAD_BYTES + 4 * index);
  fillMessage(bytes, controlBytes);
  const sent = sendmsg(fd, message, MSG_DONTWAIT | MSG_NOSIGNAL);
  // `bytes` is named behind the call, so that it lives as long.
  return Math.min(sent, bytes.length);
}

/**
 * Receives into `buffer`; a length of 0 is the end. The descriptors belong to the caller. EAGAIN: nothing is
 * there. EMSGSIZE: more descriptors came than anybody here sends; all are closed.
 */
export function receiveWithDescriptors(
  fd: number,
  buffer: Uint8Array,
): { readonly length: number; readonly fds: readonly number[] } {
  fillMessage(buffer, control.length);
  const length = recvmsg(fd, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  const fds = receivedDescriptors(Number(message.readBigUInt64LE(MSGHDR.controlBytes)));
  if (message.readInt32LE(MSGHDR.flags) & MSG_CTRUNC) {
    closeDescriptors(fds);
    throw new ErrnoError('recvmsg', EMSGSIZE);
  }
  return { length: Math.min(length, buffer.length), fds };
}

/** Closes all of `fds`. */
export function closeDescriptors(fds: readonly number[]): void {
  for (const fd of fds) closeSync(fd);
}

function fillMessage(bytes: Uint8Array, controlBytes: number): void {
  vector.writeBigUInt64LE(addressOf(bytes), 0);
  vector.writeBigUInt64LE(BigInt(bytes.length), 8);
  message.fill(0);
  message.writeBigUInt64LE(addressOf(vector), MSGHDR.vector);
  message.writeBigUInt64LE(1n, MSGHDR.vectors);
  message.writeBigUInt64LE(controlBytes === 0 ? 0n : addressOf(control), MSGHDR.control);
  message.writeBigUInt64LE(BigInt(controlBytes), MSGHDR.controlBytes);
}

/** The kernel puts all SCM_RIGHTS of one message into one header; no other kind was asked for. */
function receivedDescriptors(controlBytes: number): readonly number[] {
  if (controlBytes < CMSG_HEAD_BYTES) return [];
  const isRights = control.readInt32LE(8) === SOL_SOCKET && control.readInt32LE(12) === SCM_RIGHTS;
  if (!isRights) return [];
  const count = (Number(control.readBigUInt64LE(0)) - CMSG_HEAD_BYTES) / 4;
  return Array.from({ length: count }, (_, index) =>
    control.readInt32LE(CMSG_HEAD_BYTES + 4 * index),
  );
}
