/** Where the parts of this checkout lie, whichever of its programs asks: src/base, dist/base and build/program are equally deep. */
import { join, resolve } from 'node:path';

const CHECKOUT = resolve(import.meta.dirname, '../..');

/** The modules of src/, compiled: what worker threads and processes of their own are started from. */
export const DIST = join(CHECKOUT, 'dist');

/** The C program, and the system call filter of a vassal's processes. */
export const NATIVE = join(CHECKOUT, 'build/native');
