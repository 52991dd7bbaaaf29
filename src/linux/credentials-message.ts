/**
 * Reads from a unix stream socket together with the sender's credentials, as the kernel vouches for them
 * (SCM_CREDENTIALS, unix(7); struct msghdr and cmsghdr as on all 64-bit machines). The socket has SO_PASSCRED.
 */
import { addressOf, fastCall } from './libc.ts';

const SOL_SOCKET = 1;
const SCM_CREDENTIALS = 2;
const MSG_CMSG_CLOEXEC = 0x40000000;

const MSGHDR = { bytes: 56, iov: 16, iovCount: 24, control: 32, controlBytes: 40 } as const;
const IOVEC = { bytes: 16, base: 0, length: 8 } as const;
const CMSG = { level: 8, type: 12, data: 16, bytes: 28 } as const;
/** Room for credentials alone: descriptors that somebody sends along are closed by the kernel. */
const CONTROL_BYTES = 32;

export class CredentialsReader {
  /** Of the sender of what receive() got last; −1 where there were none. */
  uid = -1;
  pid = -1;
  readonly #header = Buffer.alloc(MSGHDR.bytes);
  readonly #vector = Buffer.alloc(IOVEC.bytes);
  readonly #control = Buffer.alloc(CONTROL_BYTES);
  readonly #recvmsg = fastCall<[fd: number, header: Buffer, flags: number]>(
    'long recvmsg(int, void *, int)',
  );

  constructor() {
    this.#header.writeBigUInt64LE(addressOf(this.#vector), MSGHDR.iov);
    this.#header.writeBigUInt64LE(1n, MSGHDR.iovCount);
    this.#header.writeBigUInt64LE(addressOf(this.#control), MSGHDR.control);
  }

  /** As read(2): the count of bytes, 0 at the end, −1 with lastErrno(). `to` is the address of `bytes` bytes. */
  receive(fd: number, to: number, bytes: number): number {
    this.#vector.writeBigUInt64LE(BigInt(to), IOVEC.base);
    this.#vector.writeBigUInt64LE(BigInt(bytes), IOVEC.length);
    this.#header.writeBigUInt64LE(BigInt(CONTROL_BYTES), MSGHDR.controlBytes);
    const count = this.#recvmsg(fd, this.#header, MSG_CMSG_CLOEXEC);
    if (count > 0) this.#readControl();
    return count;
  }

  #readControl(): void {
    const isThere =
      this.#header.readBigUInt64LE(MSGHDR.controlBytes) >= BigInt(CMSG.bytes) &&
      this.#control.readInt32LE(CMSG.level) === SOL_SOCKET &&
      this.#control.readInt32LE(CMSG.type) === SCM_CREDENTIALS;
    this.pid = isThere ? this.#control.readInt32LE(CMSG.data) : -1;
    this.uid = isThere ? this.#control.readUInt32LE(CMSG.data + 4) : -1;
  }
}
