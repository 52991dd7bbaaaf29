/** The poller's thread: blocks in epoll_wait and posts what is ready; token 0 tells it to end. */
import { parentPort, workerData } from 'node:worker_threads';
import { epollBuffer, waitEpoll } from './epoll.ts';

const MAX_EVENTS = 256;

// At the boundary: poller.ts is the only one who starts this file.
const { epoll } = workerData as { readonly epoll: number };
const buffer = epollBuffer(MAX_EVENTS);

for (;;) {
  const tokens = waitEpoll(epoll, buffer);
  if (tokens.includes(0)) break;
  if (tokens.length > 0) parentPort?.postMessage(tokens, [tokens.buffer]);
}
