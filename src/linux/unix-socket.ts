/** Unix sockets as bare descriptors (unix(7), socket(2)), which libuv never touches: made, listening and connected. */
import { closeSync, lstatSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { EmperorError, isErrno } from '../base/errors.ts';
import { shortPath } from '../base/socket-path.ts';
import { libcCall } from './libc.ts';

const AF_UNIX = 1;
const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_PASSCRED = 16;
const BACKLOG = 512;

const socketCall = libcCall<[domain: number, type: number, protocol: number]>(
  'int socket(int, int, int)',
);
const bindCall = libcCall<[fd: number, address: Buffer, length: number]>(
  'int bind(int, void *, unsigned int)',
);
const connectCall = libcCall<[fd: number, address: Buffer, length: number]>(
  'int connect(int, void *, unsigned int)',
);
const listenCall = libcCall<[fd: number, backlog: number]>('int listen(int, int)');
const setOption = libcCall<
  [fd: number, level: number, option: number, value: Buffer, length: number]
>('int setsockopt(int, int, int, void *, unsigned int)');

/**
 * Listens at `path` with the rights `mode`, and returns the descriptor, not blocking; with `passesCredentials` what is
 * accepted tells senders' credentials (SO_PASSCRED is inherited). The socket is made aside and renamed into place, so that one that a dead
 * process left is replaced and nobody finds it with other rights. already-running: somebody listens there.
 * conflict: what is there is no socket. ENOENT, EACCES: its directory is not there or closed to us.
 */
export function listenUnix(
  path: string,
  { mode, passesCredentials }: { readonly mode: number; readonly passesCredentials: boolean },
): number {
  refuseUnlessStale(path);
  const fresh = join(dirname(path), `.${basename(path)}.${process.pid}`);
  rmSync(fresh, { force: true });
  const fd = openSocket(SOCK_STREAM);
  try {
    bindWithMode(fd, fresh, mode);
    if (passesCredentials) setOption(fd, SOL_SOCKET, SO_PASSCRED, Buffer.from([1, 0, 0, 0]), 4);
    listenCall(fd, BACKLOG);
    renameSync(fresh, path);
    return fd;
  } catch (error) {
    closeSync(fd);
    rmSync(fresh, { force: true });
    throw error;
  }
}

/**
 * Connects to the stream socket at `path`, however long, and returns its descriptor, not blocking. ENOENT,
 * ECONNREFUSED: nobody listens there. EAGAIN: too many wait to be accepted. EPROTOTYPE: no stream socket.
 */
export function connectUnix(path: string): number {
  const fd = openSocket(SOCK_STREAM);
  try {
    withAddress(path, (address) => connectCall(fd, address, address.length));
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function refuseUnlessStale(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found) return;
  if (!found.isSocket()) {
    throw new EmperorError(
      'conflict',
      `Cannot listen at ${path}: it is there and is no socket; remove it or name another path`,
    );
  }
  if (hasListener(path)) {
    throw new EmperorError(
      'already-running',
      `Cannot listen at ${path}: another process listens there`,
    );
  }
}

function hasListener(path: string): boolean {
  try {
    closeSync(connectUnix(path));
    return true;
  } catch (error) {
    if (isErrno(error, 'EAGAIN')) return true;
    if (isErrno(error, 'ECONNREFUSED', 'ENOENT', 'EPROTOTYPE')) return false;
    throw error;
  }
}

/** bind(2) takes the rights from the mask, so that the socket never has others. */
function bindWithMode(fd: number, path: string, mode: number): void {
  const mask = process.umask(~mode & 0o777);
  try {
    withAddress(path, (address) => bindCall(fd, address, address.length));
  } finally {
    process.umask(mask);
  }
}

/** Returns one of that type, not blocking and closed on exec. */
export function openSocket(type: typeof SOCK_STREAM | typeof SOCK_DGRAM): number {
  return socketCall(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

function withAddress(path: string, call: (address: Buffer) => number): void {
  const short = shortPath(path);
  try {
    // struct sockaddr_un: the family, the path, NUL.
    call(Buffer.concat([Buffer.from([AF_UNIX, 0]), Buffer.from(`${short.path}\0`)]));
  } finally {
    short.close();
  }
}
