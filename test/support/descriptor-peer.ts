/** Somebody who answers with descriptors, well or badly: a python that libuv's ways do not bind. */
import { spawn } from 'node:child_process';

export interface DescriptorPeer {
  close(): void;
}

const SCRIPT = `
import os, socket, sys
path, answer, count, end = sys.argv[1], bytes.fromhex(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
listener = socket.socket(socket.AF_UNIX)
os.chdir(os.path.dirname(path))
listener.bind(os.path.basename(path))
listener.listen(64)
null = os.open('/dev/null', os.O_RDWR)
os.write(1, b'ready')
held = []
while True:
    connection, _ = listener.accept()
    connection.recv(65536)
    if answer:
        socket.send_fds(connection, [answer], [null] * count)
    if end == 'hold':
        held.append(connection)
    else:
        connection.close()
`;

/** Listens at `path`; answers each connection's first bytes with `answer` and that many descriptors of /dev/null. */
export async function descriptorPeer(
  path: string,
  behaviour: {
    readonly answer: Uint8Array;
    readonly descriptors: number;
    readonly hangsUp?: boolean;
  },
): Promise<DescriptorPeer> {
  const { answer, descriptors, hangsUp } = behaviour;
  const words = [path, Buffer.from(answer).toString('hex'), String(descriptors)];
  const args = ['-c', SCRIPT, ...words, hangsUp ? 'close' : 'hold'];
  const child = spawn('python3', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await Promise.race([new Promise((resolve) => child.stdout.once('data', resolve)), ended]);
  if (child.exitCode !== null) throw new Error('the peer did not begin');
  child.stdout.destroy();
  return { close: () => void child.kill('SIGKILL') };
}
