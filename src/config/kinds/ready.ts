/** The kind of `ready`: how it is known that what runs in a vassal can be used. */
import { type Kind, plainKind } from './kind.ts';

export type Ready =
  /** It says READY=1, as sd_notify(3) does. */
  | { readonly how: 'notify' }
  /** It writes a line end to its descriptor 3. */
  | { readonly how: 'fd' }
  /** Something inside listens there. */
  | { readonly how: 'port'; readonly port: number }
  /** It is there; inside the vassal, a relative one goes by its home. */
  | { readonly how: 'path'; readonly path: string };

const MAX_PORT = 65_535;

export const ready: Kind<Ready> = plainKind(
  {
    name: 'way to be ready',
    expects: '`notify`, `fd`, `port:NUMBER` or `path:FILE`',
    schema: { pattern: '^(notify|fd|port:[0-9]+|path:.+)$' },
  },
  (text): Ready | undefined => {
    if (text === 'notify' || text === 'fd') return { how: text };
    const [, how, rest = ''] = /^(port|path):\s*(.+)$/.exec(text) ?? [];
    if (how === 'path') return { how, path: rest };
    const port = /^\d{1,5}$/.test(rest) ? Number(rest) : 0;
    return how === 'port' && port >= 1 && port <= MAX_PORT ? { how, port } : undefined;
  },
  (value) => {
    if (value.how === 'port') return `port:${value.port}`;
    return value.how === 'path' ? `path:${value.path}` : value.how;
  },
);
