/** What emperor/watch.ts saw of one vassal file. Data only. */
import type { Diagnostic } from '../base/errors.ts';

export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

export type Sighting =
  | {
      readonly kind: 'present';
      readonly name: string;
      readonly file: string;
      readonly text: string;
      /** Hex SHA-256 of the bytes. */
      readonly sha256: string;
      readonly owner: FileOwner;
      /** True when content is unchanged and only times moved (a `touch`). */
      readonly touched: boolean;
    }
  | {
      readonly kind: 'refused';
      readonly name: string;
      readonly file: string;
      readonly diagnostics: readonly Diagnostic[];
    }
  | { readonly kind: 'gone'; readonly name: string; readonly file: string };
