/**
 * One look at one vassal file: its text, or why it is not to be believed. What its owner may bring about
 * (a FIFO, a device, junk) is a refusal with the fix; nothing here throws or blocks because of a file.
 */
import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { type BigIntStats, lstatSync } from 'node:fs';
import { type Diagnostic, isErrno, isSystemError } from '../base/errors.ts';
import { MAX_TEXT_BYTES } from '../config/ini.ts';
import { type RefusedFile, readUnderLease } from '../linux/lease.ts';
import { type FileSignature, readSignature } from '../linux/statx.ts';
import type { FileOwner } from './sighting.ts';

export type FileReading =
  | {
      readonly kind: 'content';
      readonly text: string;
      readonly sha256: string;
      readonly owner: FileOwner;
      readonly signature: FileSignature;
      /** True if a lease proves that no writer had it open. */
      readonly leased: boolean;
    }
  | { readonly kind: 'busy' }
  | { readonly kind: 'missing' }
  | {
      readonly kind: 'refused';
      readonly diagnostics: readonly Diagnostic[];
      readonly signature: FileSignature | undefined;
    };

export type FileLook = FileSignature | 'missing' | 'unknown';

/** Looks at a name without opening it; `unknown` where that is not permitted or fails. */
export function lookAtFile(path: string): FileLook {
  try {
    return readSignature(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return 'missing';
    if (!isSystemError(error)) throw error;
  }
  // Old sandboxes refuse statx(2); Node knows the calls before it.
  const stat = statOf(path);
  return typeof stat === 'string' ? stat : signatureOf(stat);
}

function statOf(path: string): BigIntStats | 'missing' | 'unknown' {
  try {
    return lstatSync(path, { bigint: true, throwIfNoEntry: false }) ?? 'missing';
  } catch {
    // ENOTDIR, EACCES, EIO, ESTALE, ENOMEM and what file systems in user space invent.
    return 'unknown';
  }
}

/** Tells whether nothing happened to a file between two looks. */
export function sameSignature(a: FileSignature, b: FileSignature): boolean {
  return (
    a.ctimeNs === b.ctimeNs &&
    a.mtimeNs === b.mtimeNs &&
    a.ino === b.ino &&
    a.size === b.size &&
    a.dev === b.dev
  );
}

/** Reads a vassal file. */
export function readVassalFile(file: string): FileReading {
  const read = readUnderLease(file, { maxBytes: MAX_TEXT_BYTES });
  switch (read.kind) {
    case 'busy':
    case 'missing':
      return read;
    case 'refused':
      return refused(file, REFUSALS[read.reason](read.detail), restingSignature(file, read.reason));
    case 'content': {
      const signature = signatureOf(read.stat);
      const fault = textFault(read.bytes);
      if (fault) return refused(file, fault, signature);
      return {
        kind: 'content',
        text: read.bytes.toString('utf8'),
        sha256: createHash('sha256').update(read.bytes).digest('hex'),
        owner: {
          uid: Number(read.stat.uid),
          gid: Number(read.stat.gid),
          mode: Number(read.stat.mode & 0o7777n),
        },
        signature,
        leased: read.leased,
      };
    }
  }
}

function signatureOf(stat: BigIntStats): FileSignature {
  const { dev, ino, size, mtimeNs, ctimeNs } = stat;
  return { dev, ino, size, mtimeNs, ctimeNs };
}

interface Fault {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  readonly line?: number;
}

function refused(
  file: string,
  fault: Fault,
  signature: FileSignature | undefined,
): Extract<FileReading, { kind: 'refused' }> {
  const { code, message, hint, line = 0 } = fault;
  const column = line === 0 ? 0 : 1;
  return {
    kind: 'refused',
    signature,
    diagnostics: [{ file, line, column, severity: 'error', code, message, hint }],
  };
}

/**
 * What must change before a refused file is worth another look. Undefined where that would not show: a disk
 * error passes, descriptors come free, a link's target is made or mended.
 */
function restingSignature(file: string, reason: RefusedFile): FileSignature | undefined {
  if (reason === 'unreadable') return undefined;
  const stat = statOf(file);
  return typeof stat === 'string' || stat.isSymbolicLink() ? undefined : signatureOf(stat);
}

const notPlain = (detail: string): Fault => ({
  code: 'file-kind',
  message: `this is ${detail}, and a vassal file is a regular file`,
  hint: 'put a regular file in its place, or remove it',
});

const REFUSALS: Readonly<Record<RefusedFile, (detail: string) => Fault>> = {
  fifo: notPlain,
  directory: notPlain,
  device: notPlain,
  socket: notPlain,
  'symlink-out': () => ({
    code: 'file-link',
    message: 'this is a symbolic link that leads out of its directory',
    hint: 'copy the file here, or link to a file in the same directory',
  }),
  'symlink-broken': () => ({
    code: 'file-link',
    message: 'this is a symbolic link that leads nowhere',
    hint: 'remove the link, or make the file that it names',
  }),
  'symlink-foreign': (detail) => ({
    code: 'file-link',
    message: `this is a symbolic link to somebody else's file: ${detail}`,
    hint: 'copy the file, or have its owner or root make the link (chown -h)',
  }),
  'too-large': (detail) => ({
    code: 'file-size',
    message: `the file is too large: ${detail}`,
    hint: 'a vassal file has at most 64 KiB; move long commands into a script of the vassal',
  }),
  unreadable: (detail) => ({
    code: 'file-unreadable',
    message: `the file cannot be read: ${detail}`,
    hint: 'make it readable for the emperor (chmod, chown), or check the disk',
  }),
};

/** Returns what keeps bytes from being a text; undefined if they are one. */
export function textFault(bytes: Buffer): Fault | undefined {
  const nul = bytes.indexOf(0);
  if (nul >= 0) {
    return {
      code: 'file-nul',
      message: 'the file holds a NUL byte, so it is no text',
      hint: 'write it again as UTF-8 (not UTF-16), or restore it: a crash can leave zeros',
      line: lineAt(bytes, nul),
    };
  }
  if (isUtf8(bytes)) return undefined;
  return {
    code: 'file-encoding',
    message: 'this line is not valid UTF-8',
    hint: 'convert the file, for instance by `iconv -f latin1 -t utf-8`',
    line: firstBadLine(bytes),
  };
}

function lineAt(bytes: Buffer, offset: number): number {
  let line = 1;
  for (let at = bytes.indexOf(10); at >= 0 && at < offset; at = bytes.indexOf(10, at + 1))
    line += 1;
  return line;
}

/** A line end never stands inside a UTF-8 sequence, so lines can be judged one by one. */
function firstBadLine(bytes: Buffer): number {
  let line = 1;
  for (let start = 0; start < bytes.length; line += 1) {
    const end = bytes.indexOf(10, start);
    if (!isUtf8(bytes.subarray(start, end < 0 ? bytes.length : end))) return line;
    if (end < 0) break;
    start = end + 1;
  }
  return line;
}
