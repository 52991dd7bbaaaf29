/** The socket that the API listens at: made aside, with its rights, and renamed into place. */
import { chmodSync, chownSync, renameSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { dirname, join } from 'node:path';
import type { Scope } from '../base/scope.ts';
import { shortPath } from '../base/socket-path.ts';

const ROOT_ID = 0;

export interface SocketSetting {
  readonly socketPath: string;
  readonly group: number | null;
  readonly mode: number;
}

/** Binds and listens; what is opened for it is the scope's. */
export async function listenOn(
  server: Server,
  { socketPath, group, mode }: SocketSetting,
  scope: Scope,
): Promise<void> {
  const fresh = join(dirname(socketPath), `.emperor.sock.${process.pid}`);
  rmSync(fresh, { force: true });
  const short = scope.add(shortPath(fresh), (open) => open.close());
  await listen(server, short.path);
  if (group !== null) {
    chownSync(fresh, ROOT_ID, group);
    admitGroup(dirname(socketPath), group);
  }
  chmodSync(fresh, mode);
  renameSync(fresh, socketPath);
}

/** bind(2) happens inside listen(), so that the mask is set for nothing else. */
function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const mask = process.umask(0o177);
    try {
      server.listen(path, () => {
        server.off('error', reject);
        resolve();
      });
    } finally {
      process.umask(mask);
    }
  });
}

/** A group that may use the socket must be able to reach it: it may pass through run-dir, and not read it. */
function admitGroup(runDirectory: string, group: number): void {
  if (group === ROOT_ID) return;
  chownSync(runDirectory, ROOT_ID, group);
  chmodSync(runDirectory, 0o710);
}
