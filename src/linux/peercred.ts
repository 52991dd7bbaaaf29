/** Who is at the other end of a unix socket (unix(7), SO_PEERCRED), as of its connect or listen. */
import { libcCall } from './libc.ts';

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;

const getsockopt = libcCall<
  [fd: number, level: number, option: number, value: Buffer, length: Buffer]
>('int getsockopt(int, int, int, void *, void *)');

export interface PeerCredentials {
  /** 0 if the peer lives in a pid namespace that is not ours or below. */
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** Returns the peer's credentials. ENOTCONN, ENOPROTOOPT: `fd` is no connected unix socket. */
export function peerCredentials(fd: number): PeerCredentials {
  const value = Buffer.alloc(12);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(value.length);
  getsockopt(fd, SOL_SOCKET, SO_PEERCRED, value, length);
  return { pid: value.readInt32LE(0), uid: value.readUInt32LE(4), gid: value.readUInt32LE(8) };
}
