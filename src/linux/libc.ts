/**
 * The one home of koffi: calls into the C library. Nothing is loaded before the first call, because koffi
 * costs 12-22 ms and most CLI commands never need it. Each thread (worker) that imports this loads its own.
 */
import { createRequire } from 'node:module';
import { ErrnoError } from './errno.ts';

type Koffi = typeof import('koffi');
type Native = (...args: readonly unknown[]) => unknown;

interface Libc {
  readonly koffi: Koffi;
  readonly library: ReturnType<Koffi['load']>;
}

let loaded: Libc | undefined;

function libc(): Libc {
  if (loaded) return loaded;
  // At the boundary: koffi is CommonJS there and its own types describe it.
  const koffi = createRequire(import.meta.url)('koffi') as Koffi;
  loaded = { koffi, library: koffi.load('libc.so.6') };
  return loaded;
}

/**
 * Declares a function of the C library by its prototype in C and returns what calls it: −1 becomes an
 * ErrnoError named after the function, anything else is returned. Variadic functions (fcntl, syscall) are
 * declared with the arguments they are called with, which the calling conventions of Linux allow.
 */
export function libcCall<Args extends readonly unknown[]>(
  prototype: string,
): (...args: Args) => number {
  const name = /(\w+)\s*\(/.exec(prototype)?.[1] ?? prototype;
  let native: Native | undefined;
  return (...args) => {
    native ??= libc().library.func(prototype) as Native;
    const result = Number(native(...args));
    // errno is read at once: anything between may change it.
    if (result === -1) throw new ErrnoError(name, libc().koffi.errno());
    return result;
  };
}

/**
 * Declares a function for a hot loop: it is loaded at once, costs a third of a microsecond a call, and returns what C
 * returns; where that is −1, lastErrno() tells why.
 */
export function fastCall<Args extends readonly unknown[]>(
  prototype: string,
): (...args: Args) => number {
  return libc().library.func(prototype) as unknown as (...args: Args) => number;
}

/** The errno of the last call of this thread that failed. */
export function lastErrno(): number {
  return libc().koffi.errno();
}

/** The `bytes` of memory that begin at a pointer, which must stay valid for good. */
export function memoryAt(pointer: unknown, bytes: number): ArrayBuffer {
  return libc().koffi.view(pointer, bytes);
}

/** Declares a function of the C library that returns a pointer; what calls it passes it on as it is. */
export function pointerCall<Args extends readonly unknown[]>(
  prototype: string,
): (...args: Args) => unknown {
  return libc().library.func(prototype) as unknown as (...args: Args) => unknown;
}

/** The address of a buffer, for fields of C structures. The caller keeps the buffer alive. */
export function addressOf(buffer: Uint8Array): bigint {
  return libc().koffi.address(buffer);
}

const rawSyscall = libcCall<readonly [number, ...RawArgument[]]>(
  'long syscall(long, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t)',
);

type RawArgument = number | bigint;

/** Numbers of system calls that glibc 2.31 does not wrap; the same on all architectures since 5.1. */
export const SYSCALL = {
  pidfd_send_signal: 424,
  pidfd_open: 434,
  openat2: 437,
} as const;

/** Calls the kernel directly (syscall(2)); throws an ErrnoError with the call's own name. */
export function systemCall(
  name: keyof typeof SYSCALL,
  args: readonly [RawArgument, RawArgument, RawArgument?, RawArgument?],
): number {
  try {
    return rawSyscall(SYSCALL[name], args[0], args[1], args[2] ?? 0, args[3] ?? 0, 0);
  } catch (error) {
    throw error instanceof ErrnoError ? new ErrnoError(name, error.errno) : error;
  }
}
