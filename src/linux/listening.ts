/**
 * Who listens for TCP in the network namespace of a process, by proc_pid_net(5). Listening sockets come first in these
 * files, so the first 64 KiB are enough for hundreds of them, however many connections there are.
 */
import { open } from 'node:fs/promises';

const LISTEN = '0A';
const READ_BYTES = 64 * 1024;

/** Whether a socket of user `uid` listens on `port`, of whatever address; false where the process has ended. */
export async function isListening(
  pid: number,
  { port, uid }: { readonly port: number; readonly uid: number },
): Promise<boolean> {
  const texts = await Promise.all(
    ['tcp', 'tcp6'].map((name) => readStart(`/proc/${pid}/net/${name}`)),
  );
  return texts.some((text) => hasListener(text, { port, uid }));
}

/** The same in the text of such a file. Pure. */
export function hasListener(
  text: string,
  { port, uid }: { readonly port: number; readonly uid: number },
): boolean {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return text.split('\n').some((line) => {
    const [, local = '', , state, , , , owner] = line.trim().split(/\s+/);
    return state === LISTEN && local.endsWith(suffix) && Number(owner) === uid;
  });
}

/** Empty where there is no such file, as on a machine without IPv6. */
async function readStart(path: string): Promise<string> {
  try {
    const file = await open(path, 'r');
    try {
      const buffer = Buffer.alloc(READ_BYTES);
      let length = 0;
      while (length < READ_BYTES) {
        const { bytesRead } = await file.read(buffer, length, READ_BYTES - length, null);
        if (bytesRead === 0) break;
        length += bytesRead;
      }
      return buffer.toString('latin1', 0, length);
    } finally {
      await file.close();
    }
  } catch {
    // It has ended, there is no IPv6, or no descriptor is free now: whoever asks will ask again.
    return '';
  }
}
