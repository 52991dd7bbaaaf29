/** Kinds of network devices, and of the sockets that vassals are attached to them by. */
import { posix } from 'node:path';
import { MAX_SOCKET_PATH_BYTES } from '../../base/socket-path.ts';
import type { Cidr } from '../../firewall/prefix.ts';
import { printCidr } from '../../firewall/prefix.ts';
import { type Part, readHostCidr } from './addresses.ts';
import { type Fault, type Kind, type KindContext, type Parsed, unlike } from './kind.ts';
import { joinWords, splitWords } from './shell-words.ts';

/** A tun device of the host's, and the socket by which vassals are attached to it. */
export interface RouterDevice {
  readonly device: string;
  readonly socket: string;
}

/** A vassal's tun device; the socket is the router's, where the text names one. */
export interface VassalDevice {
  readonly name: string;
  readonly socket: string | null;
}

/** A device that unmodified uWSGI vassals attach themselves to. */
export interface UwsgiRouter extends RouterDevice {
  /** The host's own, and the network of those who attach; IPv4. */
  readonly address: Cidr;
}

/** `auto`: by the device of the default route. */
export type Nat = 'auto' | 'off' | { readonly device: string };

export const routerDevice: Kind<RouterDevice> = wordsKind<RouterDevice>({
  name: 'router device',
  expects: '`DEVICE SOCKET`, such as `emperor0 /run/tuntap.socket`',
  schema: { pattern: '^\\S+\\s+\\S.*$' },
  counts: [2],
  read: ([device, socket], context) => ({
    device: readDevice(device),
    socket: readSocket(socket, context),
  }),
  print: ({ device, socket }) => [device, socket],
});

export const vassalDevice: Kind<VassalDevice> = wordsKind<VassalDevice>({
  name: 'device',
  expects: "`DEVICE`, such as `uwsgi0`, and the router's socket if you like",
  schema: { pattern: '^\\S+(\\s+\\S.*)?$' },
  counts: [1, 2],
  read: ([name, socket], context) => ({
    name: readDevice(name),
    socket: socket ? readSocket(socket, context) : { value: null },
  }),
  print: ({ name, socket }) => (socket === null ? [name] : [name, socket]),
});

export const uwsgiRouter: Kind<UwsgiRouter> = wordsKind<UwsgiRouter>({
  name: 'router device',
  expects: '`DEVICE SOCKET CIDR`, such as `uwsgi0 /run/uwsgi.socket 192.168.1.1/24`',
  schema: { pattern: '^\\S+\\s+\\S.*\\s+\\S+$' },
  counts: [3],
  read: ([device, socket, cidr], context) => ({
    device: readDevice(device),
    socket: readSocket(socket, context),
    address: readHostCidr(cidr ?? NOTHING, 4),
  }),
  print: ({ device, socket, address }) => [device, socket, printCidr(address)],
});

export const nat: Kind<Nat> = {
  name: 'network device',
  expects: '`auto`, `off`, or the network device that leads out, such as `eth0`',
  schema: { minLength: 1 },
  parse(text) {
    if (text === '') return unlike(text, nat);
    if (text === 'auto' || text === 'off') return { value: text };
    const device = readDevice({ text, offset: 0 });
    return 'fault' in device ? device : { value: { device: device.value } };
  },
  print: (value) => (typeof value === 'string' ? value : value.device),
};

// ── parts ──────────────────────────────────────────────────────────────────────────────────────

interface Word {
  readonly text: string;
  readonly offset: number;
}

const NOTHING: Word = { text: '', offset: 0 };

/** IFNAMSIZ is 16 with its NUL (netdevice(7)); the kernel takes more, but `%` is a pattern to it, and tools differ. */
const DEVICE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$/;
/** The loopback device, and what means all devices in /proc/sys/net. */
const TAKEN = ['lo', 'all', 'default'];

function readDevice({ text, offset }: Word = NOTHING): Part<string> {
  if (TAKEN.includes(text)) {
    const hint = 'choose another name, such as `emperor0`';
    return { fault: { message: `no device of ours can be called \`${text}\``, hint, offset } };
  }
  if (DEVICE.test(text)) return { value: text };
  const hint = 'it has at most 15 letters, digits and `._-`, and begins with a letter or digit';
  return {
    fault: {
      ...unlike(text, { name: 'name of a network device', expects: hint }).fault,
      hint,
      offset,
    },
  };
}

function readSocket({ text, offset }: Word = NOTHING, { directory }: KindContext): Part<string> {
  const path = posix.resolve(directory, text);
  const hint = `a socket's path has at most ${MAX_SOCKET_PATH_BYTES} bytes`;
  if (text === '') return { fault: { message: 'it names no socket', hint, offset } };
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return { value: path };
  return { fault: { message: 'the path of the socket is too long', hint, offset } };
}

type Parts<T> = { readonly [Name in keyof T]: Part<T[Name]> };

interface WordsKind<T> extends Pick<Kind<T>, 'name' | 'expects' | 'schema'> {
  /** How many words it may have. */
  readonly counts: readonly number[];
  read(words: readonly Word[], context: KindContext): Parts<T>;
  print(value: T): readonly string[];
}

/** A kind of words as a shell splits them, each of them a part of the value. */
function wordsKind<T extends object>({ counts, read, print, ...described }: WordsKind<T>): Kind<T> {
  return {
    ...described,
    parse(text, context) {
      const split = splitWords(text);
      if ('message' in split) return { fault: { ...split, hint: `it takes ${described.expects}` } };
      const words = split.words.map(({ text: word, start }) => ({ text: word, offset: start }));
      return counts.includes(words.length) ? whole(read(words, context)) : unlike(text, described);
    },
    print: (value) => joinWords(print(value)),
  };
}

/** Puts parts together, or tells of everything that is wrong with them. */
function whole<T extends object>(parts: Parts<T>): Parsed<T> {
  const read = Object.entries<Part<unknown>>(parts);
  const [fault, ...more] = read.flatMap(([, part]): readonly Fault[] =>
    'fault' in part ? [part.fault] : [],
  );
  if (fault) return { fault, more };
  const values = read.map(([name, part]) => [name, 'value' in part ? part.value : undefined]);
  // Each part has the type that its name has in T.
  return { value: Object.fromEntries(values) as T };
}
