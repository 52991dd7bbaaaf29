/** mmap(2) of a file that several threads and the next process share: what is stored is in the file at once. */
import { EmperorError } from '../base/errors.ts';
import { errnoName } from './errno.ts';
import { lastErrno, memoryAt, pointerCall } from './libc.ts';

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;

type MapArguments = readonly [
  address: null,
  bytes: number,
  protection: number,
  flags: number,
  fd: number,
  offset: number,
];

/**
 * Maps the first `bytes` of an open file for good, for reading and writing. The file must be that long and never be
 * cut, else an access ends the process (SIGBUS). ENODEV: its file system cannot. ENOMEM: no room.
 */
export function mapFile(fd: number, bytes: number): ArrayBuffer {
  const mmap = pointerCall<MapArguments>('intptr_t mmap(void *, size_t, int, int, int, long)');
  const address = mmap(null, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (Number(address) === -1) {
    throw new EmperorError('system-call', `Cannot map a file: ${errnoName(lastErrno())}`);
  }
  return memoryAt(BigInt(address as number | bigint), bytes);
}
