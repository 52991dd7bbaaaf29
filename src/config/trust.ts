/**
 * Whose files are believed how far (design section 4). Pure: owner and mode in, verdict out.
 *
 * - Writable by everybody: refused. Writable by a group: refused, unless that is root's group or the owner's
 *   own (the group whose number is the owner's uid, as Debian makes one for each user).
 * - Owned by root, by emperor.ini's owner or by a trusted owner: the operator's, every key.
 * - Owned by the vassal's own uid: the tenant's, tenant keys only. The vassal then runs as that uid and as
 *   the gid of the same number; the file's group decides nothing, for a setgid directory can give it any.
 */
import type { Diagnostic } from '../base/errors.ts';
import { type Code, type Findings, wholeFile } from './diagnose.ts';

export interface Owner {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

export type Verdict =
  | { readonly kind: 'operator' }
  | { readonly kind: 'tenant'; readonly uid: number; readonly gid: number }
  | { readonly kind: 'refused'; readonly diagnostic: Diagnostic };

export interface TrustSource {
  readonly file: string;
  readonly owner: Owner;
  /** The uid that the vassal has already, if any. */
  readonly vassalUid: number | undefined;
  readonly trustedOwners: readonly number[];
}

const GROUP_WRITE = 0o020;
const OTHER_WRITE = 0o002;

export function judgeTrust({ file, owner, vassalUid, trustedOwners }: TrustSource): Verdict {
  if (isWorldWritable(owner)) {
    return refused(file, 'file-open', 'everybody can write to it', `chmod o-w ${file}`);
  }
  if (isGroupWritable(owner)) {
    return refused(file, 'file-open', `group ${owner.gid} can write to it`, `chmod g-w ${file}`);
  }
  if (owner.uid === 0 || trustedOwners.includes(owner.uid)) return { kind: 'operator' };
  if (owner.uid === vassalUid) return { kind: 'tenant', uid: owner.uid, gid: owner.uid };
  const state = `it belongs to uid ${owner.uid}, who is neither a trusted owner nor this vassal's own uid`;
  const fix = `chown root ${file}, or name the user in \`trusted-owners\` of emperor.ini`;
  return refused(file, 'foreign-owner', state, fix);
}

/** emperor.ini decides whom to trust, so it may have any owner; but nobody else may write to it. */
export function judgeEmperorFile(file: string, owner: Owner, findings: Findings): void {
  if (!isWorldWritable(owner)) return;
  findings.error(wholeFile(file), {
    code: 'file-open',
    message: `Cannot trust ${file}: everybody can write to it`,
    hint: `chmod o-w ${file}`,
  });
}

function isWorldWritable({ mode }: Owner): boolean {
  return (mode & OTHER_WRITE) !== 0;
}

function isGroupWritable({ mode, gid, uid }: Owner): boolean {
  return (mode & GROUP_WRITE) !== 0 && gid !== 0 && gid !== uid;
}

function refused(file: string, code: Code, state: string, hint: string): Verdict {
  const message = `Cannot trust ${file}: ${state}`;
  const diagnostic = { ...wholeFile(file), severity: 'error', code, message, hint } as const;
  return { kind: 'refused', diagnostic };
}
