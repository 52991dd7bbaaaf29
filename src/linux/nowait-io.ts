/**
 * Reads and writes of one buffer that never block, whatever the flags of the open file are (preadv2(2), RWF_NOWAIT).
 * O_NONBLOCK is not enough for a descriptor that others have, too: it is the open file's, and each of them can clear it.
 */
import { addressOf, fastCall, lastErrno } from './libc.ts';

const RWF_NOWAIT = 8;
/** The file's own position: what read(2) and write(2) do. */
const HERE = -1;
const IOVEC_BYTES = 16;
const EOPNOTSUPP = 95;

type VectorCall = [fd: number, vector: number, count: number, offset: number, flags: number];
type PlainCall = [fd: number, address: number, bytes: number];

/** For a hot loop: allocates nothing, returns what C returns; where that is −1, lastErrno() tells why. */
export class NowaitBuffer {
  /** What the vectors point to, and they themselves, must live as long as the calls. */
  readonly #bytes: Uint8Array;
  readonly #address: number;
  readonly #readVector: Uint32Array;
  readonly #writeVector: Uint32Array;
  readonly #readVectorAddress: number;
  readonly #writeVectorAddress: number;
  readonly #preadv2 = fastCall<VectorCall>('long preadv2(int, uintptr_t, int, long, int)');
  readonly #pwritev2 = fastCall<VectorCall>('long pwritev2(int, uintptr_t, int, long, int)');
  readonly #read = fastCall<PlainCall>('long read(int, uintptr_t, size_t)');
  readonly #write = fastCall<PlainCall>('long write(int, uintptr_t, size_t)');
  /** Before Linux 6.4 a tun cannot be asked so. */
  #isSupported = true;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#address = Number(addressOf(bytes));
    this.#readVector = vectorOf(this.#address, bytes.length);
    this.#writeVector = vectorOf(this.#address, 0);
    this.#readVectorAddress = Number(addressOf(asBytes(this.#readVector)));
    this.#writeVectorAddress = Number(addressOf(asBytes(this.#writeVector)));
  }

  /** Fills the buffer; returns how many bytes came. EAGAIN: there is nothing. */
  read(fd: number): number {
    if (this.#isSupported) {
      const count = this.#preadv2(fd, this.#readVectorAddress, 1, HERE, RWF_NOWAIT);
      if (count >= 0 || !this.#isRefused()) return count;
    }
    return this.#read(fd, this.#address, this.#bytes.length);
  }

  /** Writes the first `length` bytes of the buffer. EAGAIN: it would have to wait. */
  write(fd: number, length: number): number {
    if (this.#isSupported) {
      this.#writeVector[2] = length;
      const count = this.#pwritev2(fd, this.#writeVectorAddress, 1, HERE, RWF_NOWAIT);
      if (count >= 0 || !this.#isRefused()) return count;
    }
    return this.#write(fd, this.#address, length);
  }

  #isRefused(): boolean {
    if (lastErrno() !== EOPNOTSUPP) return false;
    this.#isSupported = false;
    return true;
  }
}

/** struct iovec: an address and a length of 64 bits each, of which buffers here need the lower half of the length. */
function vectorOf(address: number, length: number): Uint32Array {
  const vector = new Uint32Array(IOVEC_BYTES / 4);
  new BigUint64Array(vector.buffer)[0] = BigInt(address);
  vector[2] = length;
  return vector;
}

function asBytes(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer);
}
